"""HTTP requests and responses of the gateway: bodies, headers, errors."""
