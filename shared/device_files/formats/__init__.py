"""The forms that a device file may have, and how each is taken apart into lines."""
