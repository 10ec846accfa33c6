"""TODO multirouter/listeners/metrics."""
