"""Plan of one call: which step comes next, and how each attempt's result changes it."""
