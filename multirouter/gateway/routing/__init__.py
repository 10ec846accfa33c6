"""From a client's request to calls of the router."""
