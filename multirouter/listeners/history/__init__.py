"""History of calls, attempts, failovers and circuit changes in an SQLite file."""
