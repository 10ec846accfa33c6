"""Registry of one router's providers and routes, and the state that outlives its replacement."""
