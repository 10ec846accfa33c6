"""TODO multirouter/core/cost."""
