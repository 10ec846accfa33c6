"""TODO multirouter/core/settings."""
