"""Benchmarks: each answers one question by measuring; `python -m benchmarks` lists them."""
