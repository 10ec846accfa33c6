"""OpenAI's Responses format for clients, whichever provider answers."""
