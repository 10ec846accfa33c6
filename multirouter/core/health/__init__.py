"""Degraded providers, adaptive timeouts and recent latency."""
