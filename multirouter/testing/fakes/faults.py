"""The ways in which the fake upstream fails, each by a name that may stand in a model's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from multirouter.errors import ConfigurationError

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "fail-N": "answers with status N (fail-500)",
        "429-retry-after-N": "429 that asks for N seconds of rest",
        "rate-limit": "429 that names no time",
        "quota": "the quota is used up, or the bill not paid",
        "bad-key": "the key is refused",
        "no-model": "there is no such model",
        "context-too-long": "the prompt is too long",
        "filtered": "a content policy refuses the request (an error)",
        "refuses": "the model refuses (an answer that says so)",
        "error-200": "an error object inside a 200",
        "html-200": "a web page instead of an answer",
        "empty-200": "a 200 without a body, a stream without an event",
        "invalid-json": "a body that is no JSON",
        "no-choices": "an answer that holds no answer",
        "redirect": "a redirect to another host",
        "stall-N": "silence after N pieces of content (stall: from the start)",
        "slow-first-token-N": "the first content only after N milliseconds (100)",
        "cut-after-N": "the connection is reset after N pieces of content",
        "eof-after-N": "a clean end after N pieces of content, without a finish",
        "event-error-N": "an error event after N pieces of content (event-error: at once)",
        "broken-json-N": "a chunk of broken JSON after N pieces of content",
        "role-only": "the opening of a stream, then an error event",
        "no-done": "no terminal event, the finish reason alone",
        "no-finish": "no finish reason, the terminal event alone",
        "crlf": "lines end in CRLF",
        "pings": "a comment or ping between events",
        "split-N": "the stream arrives N bytes at a time (1)",
        "huge-N": "one piece of content of N MiB (1)",
        "endless": "content without end",
    }
)
"""What can be asked for; N is a number."""

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
    """One way to fail.

    Attributes:
        name: a name of `FAULTS` without its number, or "" for none.
        number: its N; what it counts stands there.
    """

    name: str = ""
    number: float = 0.0

    @classmethod
    def named(cls, text: str) -> Fault | None:
        """The fault of that name (`cut-after-3`), or None when there is no such fault."""
        if text in _ALONE:
            return cls(text, _DEFAULTS.get(text, 0.0))
        found = _NUMBER.fullmatch(text)
        if found is not None and found[1] in _WITH_NUMBER:
            return cls(found[1], float(found[2]))
        return None

    @classmethod
    def of_model(cls, model: str) -> Fault:
        """The fault a model's name asks for: all of it, or what follows its last `+`."""
        return cls.named(model.rpartition("+")[2]) or NO_FAULT

    @classmethod
    def checked(cls, text: str) -> Fault:
        """The fault of that name.

        Raises:
            ConfigurationError: when there is no such fault.
        """
        fault = cls.named(text) if text else NO_FAULT
        if fault is None:
            raise ConfigurationError("fault", f"{text!r} is none of {', '.join(FAULTS)}")
        return fault

    def __str__(self) -> str:
        return f"{self.name}-{self.number:g}" if self.number else self.name


NO_FAULT = Fault()
