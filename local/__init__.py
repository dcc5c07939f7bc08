"""The local stack: what stands in for Azure on a developer's machine. Never deployed."""
