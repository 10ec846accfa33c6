"""What a failure means: its kind, its signs, Retry-After and backoff."""
