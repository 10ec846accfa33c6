"""OpenAI Chat Completions and compatible services."""
