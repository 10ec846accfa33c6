"""TODO multirouter/core/failures."""
