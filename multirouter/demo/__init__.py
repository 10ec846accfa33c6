"""`multirouter demo`: three providers on loopback, an outage, and nobody who calls notices."""
