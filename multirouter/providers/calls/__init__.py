"""Tool calls across services: names and ids in the form that each accepts."""
