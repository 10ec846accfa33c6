"""Decisions without I/O: no await and no clock; `now` and `rng` are arguments."""
