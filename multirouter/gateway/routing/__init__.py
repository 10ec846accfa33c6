"""Routing of a client's request: model names, request options, and calls of the router."""
