"""TODO multirouter/gateway/auth."""
