"""TODO multirouter/core/routes."""
