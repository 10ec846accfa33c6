"""TODO multirouter/gateway/formats."""
