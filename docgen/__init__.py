"""Generates the files that follow from the code: `make docs`."""
