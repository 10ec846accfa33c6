"""Streams to clients: server-sent events or a JSON array."""
