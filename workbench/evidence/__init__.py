"""Evidence: what was kept, held against where it came from."""
