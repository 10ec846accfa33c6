"""Requests with files, and answers that are no JSON."""
