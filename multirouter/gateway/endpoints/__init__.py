"""Endpoints of the gateway, one module each."""
