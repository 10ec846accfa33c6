"""Tests of routers that share their state."""
