"""TODO multirouter/listeners/history."""
