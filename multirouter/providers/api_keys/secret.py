"""API keys, which are never shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

from multirouter.core import function_checks as hooks
from multirouter.errors import ConfigurationError
from multirouter.providers.api_keys.redaction import REDACTED, redact_secrets

KeySource: TypeAlias = str | Callable[[], str] | None
"""A key, a function that returns the current key (for keys that rotate), or None."""

_MIN_SECRET = 8
_MIN_LETTERS = 16
"""Characters of a key that is a secret; keys of letters alone are longer than words."""


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

    @property
    def is_set(self) -> bool:
        """Whether there is a key."""
        return self._source is not None

    def reveal(self) -> str | None:
        """Returns the key for a header; None when there is none."""
        source = self._source
        if source is None:
            return None
        self._last = self._check(source()) if callable(source) else source
        return self._last

    def redact(self, text: str) -> str:
        """Returns `text` with this key, and everything that looks like a key, replaced by `***`.

        A short key or a word (`x`, `token`), as local servers accept it, protects nothing, and
        would garble the text.
        """
        if _is_secret(self._last):
            text = text.replace(self._last, REDACTED)
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


def _is_secret(key: str) -> bool:
    return len(key) >= (_MIN_LETTERS if key.isalpha() else _MIN_SECRET)
