"""TODO multirouter/listeners/alarms."""
