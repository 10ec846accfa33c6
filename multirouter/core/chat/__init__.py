"""Reads chat responses and stream chunks of the known formats."""
