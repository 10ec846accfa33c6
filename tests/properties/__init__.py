"""Properties: state machines and simple models, run against the real implementation."""
