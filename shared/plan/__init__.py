"""What a device file would change in the registry of a hub; no I/O but a temporary database."""
