"""The local stack, which replaces Azure on a developer's machine; never deployed."""
