"""TODO multirouter/core/selection."""
