"""Anthropic Messages: translates requests, responses and streams."""
