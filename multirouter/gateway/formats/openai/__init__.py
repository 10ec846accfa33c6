"""OpenAI's chat completions for clients: the canonical format, normalized."""
