"""Routes: tiers of providers, name lookup and inherited settings."""
