"""The gateway, as clients see it."""
