"""TODO multirouter/core/chat."""
