"""TODO multirouter/gateway/streams."""
