"""API keys of the gateway's clients: hashes in a file."""
