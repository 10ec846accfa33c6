"""Listeners, told of hand-made news."""
