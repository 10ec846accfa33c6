"""Concurrency and rate limits, and the retry budget."""
