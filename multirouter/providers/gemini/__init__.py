"""Gemini generateContent: translates requests, responses and streams."""
