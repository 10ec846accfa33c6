"""TODO multirouter/runtime."""
