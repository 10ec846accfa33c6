"""TODO multirouter/runtime/streams."""
