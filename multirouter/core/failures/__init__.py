"""Classification of failures: kinds, signatures, Retry-After and backoff."""
