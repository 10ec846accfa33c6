"""TODO multirouter/gateway/endpoints."""
