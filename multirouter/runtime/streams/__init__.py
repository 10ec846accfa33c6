"""Streams: opening, reading, continuing on another provider, and delivery."""
