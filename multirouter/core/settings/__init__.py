"""Settings of providers, circuits, limits, retries and streams; validated at construction."""
