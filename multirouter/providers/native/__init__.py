"""Requests and answers of a client whose provider has the same format: they pass as they are."""
