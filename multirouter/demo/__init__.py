"""`multirouter demo`: three providers on loopback, an outage, and no errors for callers."""
