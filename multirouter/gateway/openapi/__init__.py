"""The OpenAPI document of the gateway, made from its table of endpoints and its types."""
