"""The faults of the fake provider; each has a name that may be part of a model's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from multirouter.errors import ConfigurationError

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "fail-N": "answers with status N (fail-500)",
        "429-retry-after-N": "429 with a Retry-After of N seconds",
        "rate-limit": "429 without Retry-After",
        "quota": "quota exhausted or credit used up",
        "bad-key": "invalid API key",
        "no-model": "unknown model",
        "unsupported-field": "a parameter that the model does not have (a 400)",
        "context-too-long": "prompt exceeds the context window",
        "filtered": "request blocked by a content policy (an error)",
        "refuses": "the model refuses (a 200 with a refusal)",
        "error-200": "an error object inside a 200",
        "html-200": "an HTML page instead of an answer",
        "empty-200": "a 200 with an empty body or an empty stream",
        "invalid-json": "a body that is invalid JSON",
        "no-choices": "a 200 without choices",
        "redirect": "a redirect to another host",
        "stall-N": "no more data after N pieces of content (stall: none at all)",
        "slow-first-token-N": "the first content after N milliseconds (100)",
        "cut-after-N": "connection reset after N pieces of content",
        "eof-after-N": "clean end after N pieces of content, no finish reason",
        "event-error-N": "an error event after N pieces of content (event-error: at once)",
        "broken-json-N": "a chunk of invalid JSON after N pieces of content",
        "role-only": "the opening of a stream, then an error event",
        "no-done": "a finish reason, but no terminal event",
        "no-finish": "a terminal event, but no finish reason",
        "crlf": "lines end in CRLF",
        "pings": "a comment or ping between events",
        "split-N": "the stream is sent N bytes at a time (1)",
        "huge-N": "one piece of content of N MiB (1)",
        "endless": "content without end",
    }
)
"""Every fault and its description; N is a number, its default in parentheses."""

_DEFAULTS = {"slow-first-token": 100.0, "split": 1.0, "huge": 1.0}
_NUMBER = re.compile(r"(.+?)-(\d+(?:\.\d+)?)")
_WITH_NUMBER = {name.removesuffix("-N") for name in FAULTS if name.endswith("-N")}
_ALONE = (set(FAULTS) - {f"{name}-N" for name in _WITH_NUMBER}) | {
    "stall",
    "slow-first-token",
    "event-error",
    "broken-json",
    "split",
    "huge",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the fake provider.

    Attributes:
        name: a name of `FAULTS` without its number, or "" for none.
        number: its N; `FAULTS` says what it counts.
    """

    name: str = ""
    number: float = 0.0

    @classmethod
    def named(cls, text: str) -> Fault | None:
        """The fault of that name (`cut-after-3`), or None if the name is unknown."""
        if text in _ALONE:
            return cls(text, _DEFAULTS.get(text, 0.0))
        found = _NUMBER.fullmatch(text)
        if found is not None and found[1] in _WITH_NUMBER:
            return cls(found[1], float(found[2]))
        return None

    @classmethod
    def of_model(cls, model: str) -> Fault:
        """The fault in a model's name: the whole name, or the part after its last `+`."""
        return cls.named(model.rpartition("+")[2]) or NO_FAULT

    @classmethod
    def checked(cls, text: str) -> Fault:
        """The fault of that name.

        Raises:
            ConfigurationError: the name is unknown.
        """
        fault = cls.named(text) if text else NO_FAULT
        if fault is None:
            raise ConfigurationError("fault", f"must be one of {', '.join(FAULTS)}, got {text!r}")
        return fault

    def __str__(self) -> str:
        return f"{self.name}-{self.number:g}" if self.number else self.name


NO_FAULT = Fault()
