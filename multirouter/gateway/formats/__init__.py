"""Wire formats of clients: requests in, answers and streams out."""
