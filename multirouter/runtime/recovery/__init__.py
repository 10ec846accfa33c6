"""How a provider returns after an outage: half-open timers, trials and health checks."""
