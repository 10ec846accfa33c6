"""Anthropic's Messages at the door, whichever provider answers: translated in, translated out."""
