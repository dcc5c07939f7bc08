"""Benchmarks of the validation and of imports at scale."""
