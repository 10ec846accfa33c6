"""The plan of one call: which step comes next."""
