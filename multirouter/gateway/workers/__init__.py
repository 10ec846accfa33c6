"""Several worker processes that serve one port as one gateway."""
