"""TODO multirouter/core/health."""
