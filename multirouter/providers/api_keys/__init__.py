"""API keys of providers: held so that nothing shows them, and removed from texts."""
