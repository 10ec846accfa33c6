"""State that the processes of a fleet share: what carries it, and its settings."""
