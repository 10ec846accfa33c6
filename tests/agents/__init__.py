"""Coding agents as programs, each in front of the gateway and fakes of the services."""
