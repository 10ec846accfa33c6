"""Anthropic Messages: requests, responses and streams, to and from the canonical format."""
