"""Circuit breaker of one provider, and the gate: circuit, cooldown, limits and holds."""
