"""Reading chat responses and stream chunks."""
