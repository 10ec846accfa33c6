"""Anthropic's Messages format for clients, whichever provider answers."""
