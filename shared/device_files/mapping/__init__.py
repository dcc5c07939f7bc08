"""Mappings: what the columns of other people's files stand for, and what their lines lack."""
