"""TODO multirouter/core/limits."""
