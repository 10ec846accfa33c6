"""Removal of API keys from texts that are shown: messages of errors, and problems of a file."""

from __future__ import annotations

import re

REDACTED = "***"

_KEY_PATTERN = re.compile(
    r"""\b(?:sk|pk|rk|gsk|xai|key)[-_][A-Za-z0-9_*.\-]{8,}   # OpenAI, Anthropic, Groq, xAI ...
      | \bAIza[A-Za-z0-9_\-]{16,}                            # Google
      | \b[Bb]earer\s+[^\s"',;]{4,}
      | (?<=[?&]key=)[^\s&"']+
    """,
    re.VERBOSE,
)


def redact_secrets(text: str) -> str:
    """Returns `text` with everything that looks like an API key replaced by `***`."""
    return _KEY_PATTERN.sub(REDACTED, text)
