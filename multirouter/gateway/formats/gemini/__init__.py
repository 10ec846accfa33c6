"""Gemini's generateContent format for clients, whichever provider answers."""
