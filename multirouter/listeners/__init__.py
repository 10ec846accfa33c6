"""Rooms that listen: each hears the news of the core, and none can break or slow a call."""
