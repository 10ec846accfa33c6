"""TODO multirouter/core/circuit."""
