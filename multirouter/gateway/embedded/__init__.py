"""The console of a router that serves no gateway: in a program of its own, beside its calls."""
