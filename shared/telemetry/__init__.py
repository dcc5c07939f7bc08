"""Spans and metrics: nothing, at almost no cost, until a setting asks for them."""
