"""History of calls and attempts in SQLite."""
