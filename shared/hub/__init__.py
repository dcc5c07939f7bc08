"""The hub's data plane: import jobs over HTTP, error codes, and the log of failed lines."""
