"""TODO multirouter/testing/virtual_time."""
