"""API keys, which are never shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeAlias

from multirouter.core import function_checks as hooks
from multirouter.errors import ConfigurationError

KeySource: TypeAlias = str | Callable[[], str] | None
"""A key, a function that returns the current key (for keys that rotate), or None."""

_REDACTED = "***"

_KEY_PATTERN = re.compile(
    r"""\b(?:sk|pk|rk|gsk|xai|key)[-_][A-Za-z0-9_*.\-]{8,}   # OpenAI, Anthropic, Groq, xAI ...
      | \bAIza[A-Za-z0-9_\-]{16,}                            # Google
      | \b[Bb]earer\s+[^\s"',;]{4,}
      | (?<=[?&]key=)[^\s&"']+
    """,
    re.VERBOSE,
)


class Secret:
    """Holds an API key. Neither `repr` nor `str` shows it, and it cannot be pickled.

    Args:
        what: the setting's name, for errors.
        source: see `KeySource`. None reads `variable` once, now.
        variable: the environment variable's name, or "" when the provider has none.
        required: whether a missing key is an error.

    Raises:
        ConfigurationError: for a missing key, or one that cannot be sent in a header. The error
            does not show the key.
    """

    __slots__ = ("_last", "_source", "_what")

    def __init__(
        self, what: str, source: KeySource, *, variable: str = "", required: bool = True
    ) -> None:
        self._what = what
        if source is None and variable:
            source = os.environ.get(variable) or None
        if source is None and required:
            where = f", or set the environment variable {variable}" if variable else ""
            raise ConfigurationError(what, f"is missing: pass api_key={where}")
        if callable(source):
            self._source: KeySource = hooks.plain_function(what, source)
        else:
            self._source = source if source is None else self._check(source)
        self._last = ""

    def reveal(self) -> str | None:
        """Returns the key for a header; None when there is none."""
        source = self._source
        if source is None:
            return None
        self._last = self._check(source()) if callable(source) else source
        return self._last

    def redact(self, text: str) -> str:
        """Returns `text` with this key, and everything that looks like a key, replaced by `***`."""
        if self._last:
            text = text.replace(self._last, _REDACTED)
        return redact_secrets(text)

    def _check(self, key: str) -> str:
        if not isinstance(key, str):
            raise ConfigurationError(self._what, f"must be a string, got {type(key).__name__}")
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigurationError(
                self._what, "must be printable ASCII without spaces (the value is not shown)"
            )
        return key

    def __repr__(self) -> str:
        return "Secret('***')" if self._source is not None else "Secret(None)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be copied or pickled")


def redact_secrets(text: str) -> str:
    """Returns `text` with everything that looks like an API key replaced by `***`."""
    return _KEY_PATTERN.sub(_REDACTED, text)
