"""Benchmarks: each measures the answer to one question; `python -m benchmarks` lists them."""
