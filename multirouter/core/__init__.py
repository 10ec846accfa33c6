"""Decisions without I/O: no await, no clock; `now` and `rng` are arguments."""
