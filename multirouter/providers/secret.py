"""Keys: read once, shown never."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeAlias

from multirouter.errors import ConfigurationError

KeySource: TypeAlias = str | Callable[[], str] | None
"""A key, a function that returns the current one (for keys that rotate), or None."""

_HIDDEN = "***"

_LOOKS_SECRET = re.compile(
    r"""\b(?:sk|pk|rk|gsk|xai|key)[-_][A-Za-z0-9_*.\-]{8,}   # OpenAI, Anthropic, Groq, xAI ...
      | \bAIza[A-Za-z0-9_\-]{16,}                            # Google
      | \b[Bb]earer\s+[^\s"',;]{4,}
      | (?<=[?&]key=)[^\s&"']+
    """,
    re.VERBOSE,
)


class Secret:
    """Holds a key; neither `repr`, `str` nor a pickled copy of it shows what it is.

    Args:
        what: the setting's name, for errors.
        source: see `KeySource`; None reads `variable` now.
        variable: the environment variable's name, or "" when the provider has none.
        needed: whether a missing key is refused.

    Raises:
        ConfigurationError: for a missing key, or one that no header can carry. It does not
            show the key.
    """

    __slots__ = ("_last", "_source", "_what")

    def __init__(
        self, what: str, source: KeySource, *, variable: str = "", needed: bool = True
    ) -> None:
        self._what = what
        if source is None and variable:
            source = os.environ.get(variable) or None
        if source is None and needed:
            where = f", or set the environment variable {variable}" if variable else ""
            raise ConfigurationError(what, f"is needed: pass api_key={where}")
        self._source = source if source is None or callable(source) else self._clean(source)
        self._last = ""

    def reveal(self) -> str | None:
        """The key itself, for a header; None when there is none."""
        source = self._source
        if source is None:
            return None
        self._last = self._clean(source()) if callable(source) else source
        return self._last

    def hide_in(self, text: str) -> str:
        """`text` with this key, and whatever looks like one, replaced by `***`."""
        if self._last:
            text = text.replace(self._last, _HIDDEN)
        return hide_secrets(text)

    def _clean(self, key: str) -> str:
        if not isinstance(key, str):
            raise ConfigurationError(self._what, f"must be a string, not a {type(key).__name__}")
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigurationError(
                self._what, "must be printable ASCII without blanks (it is not shown here)"
            )
        return key

    def __repr__(self) -> str:
        return "Secret('***')" if self._source is not None else "Secret(None)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not copied or pickled")


def hide_secrets(text: str) -> str:
    """`text` with whatever looks like an API key replaced by `***`."""
    return _LOOKS_SECRET.sub(_HIDDEN, text)
