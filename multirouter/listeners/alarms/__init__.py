"""Alarms: rules, their evaluation and webhooks."""
