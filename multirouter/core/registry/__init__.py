"""TODO multirouter/core/registry."""
