"""HTTP gateway in front of a router: OpenAI, Anthropic and Gemini formats for clients."""
