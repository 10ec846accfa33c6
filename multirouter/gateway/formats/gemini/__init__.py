"""Gemini's generateContent at the door, whichever provider answers: translated in and out."""
