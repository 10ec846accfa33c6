"""OpenAI Chat Completions and the services that speak it."""
