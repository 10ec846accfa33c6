"""The same router behind HTTP doors: OpenAI's and Anthropic's formats, for all languages."""
