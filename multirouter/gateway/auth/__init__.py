"""Authentication and limits of gateway keys."""
