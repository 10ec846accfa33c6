"""OpenAI's Responses API as the format of a provider."""
