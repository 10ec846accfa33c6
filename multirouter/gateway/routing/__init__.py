"""TODO multirouter/gateway/routing."""
