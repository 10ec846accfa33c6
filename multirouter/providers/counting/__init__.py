"""Counts the tokens of a chat request, where a service has an endpoint for that."""
