"""Routes: their settings, and their resolution to tiers of providers."""
