"""The hub's data plane: import jobs over HTTP, and the log that they leave."""
