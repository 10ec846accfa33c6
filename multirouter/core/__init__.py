"""Decides: stdlib only, no await, no clock, no I/O; `now` and `rng` come in from outside."""
