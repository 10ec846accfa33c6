"""What the real services reject, by service."""
