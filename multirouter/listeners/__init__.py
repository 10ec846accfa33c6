"""Listeners of the router's events: metrics, logs, history and alarms."""
