"""Messages of the protocol that the client does not know, each as one file of its fields."""
