"""Generate documents from the code: `make docs`."""
