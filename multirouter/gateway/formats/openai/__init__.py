"""OpenAI chat completions for clients."""
