"""Wire formats of clients: translation of requests, answers and streams."""
