"""TODO multirouter/core/planning."""
