"""What writes to a log: appending rows, copying slices, recording."""
