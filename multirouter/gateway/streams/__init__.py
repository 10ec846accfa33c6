"""Streams to clients as server-sent events."""
