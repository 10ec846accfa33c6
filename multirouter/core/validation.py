"""Bad settings are refused where they are made, in words that name what and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from numbers import Real
from typing import Any, TypeVar

from multirouter.errors import ConfigurationError

KindT = TypeVar("KindT")

SHORTEST_SPAN = 1e-6
"""No span is shorter, seconds: loop clocks tell less apart, and windows are cut into tenths."""

LONGEST_SPAN = 1e9
"""No span that ends is longer, seconds: some thirty years are a mistake, not a setting."""


def number(
    what: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float = math.inf,
    endless: bool = False,
) -> float:
    """Returns `value` as a float, or refuses it.

    Args:
        what: the setting's name, for the error.
        value: what the user gave; bool and NaN are never numbers here.
        above: the value must be greater than this.
        least: the value must not be smaller than this.
        most: the value must not be greater than this.
        endless: whether `math.inf` may be given (it means: no limit).

    Raises:
        ConfigurationError: naming `what`, the value, and the range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigurationError(what, f"must be a number, not {value!r}")
    try:
        given = float(value)
    except OverflowError:
        raise ConfigurationError(what, "must be finite, and is beyond any number") from None
    if math.isnan(given):
        raise ConfigurationError(what, "must be a number, not NaN")
    if math.isinf(given) and not (endless and given > 0):
        raise ConfigurationError(what, f"must be finite, not {given}")
    if above is not None and given <= above:
        raise ConfigurationError(what, f"must be greater than {above:g}, not {given:g}")
    if least is not None and given < least:
        raise ConfigurationError(what, f"must be at least {least:g}, not {given:g}")
    if given > most and not (endless and math.isinf(given)):
        raise ConfigurationError(what, f"must be at most {most:g}, not {given:g}")
    return given


def span(what: str, value: Any, *, endless: bool = False) -> float:
    """A span of time in seconds, from `SHORTEST_SPAN` to `LONGEST_SPAN`."""
    return number(what, value, least=SHORTEST_SPAN, most=LONGEST_SPAN, endless=endless)


def rate(what: str, value: Any) -> float:
    """Units a minute, from one in two years to more than anybody can send."""
    return number(what, value, least=1e-6, most=1e12)


def weight(what: str, value: Any) -> float:
    """A weight: 0, or from 1e-9 to 1e9, so that no sum of weights overflows or vanishes."""
    given = number(what, value, least=0.0, most=1e9)
    if 0.0 < given < 1e-9:
        raise ConfigurationError(what, f"must be 0 or at least 1e-09, not {given:g}")
    return given


def share(what: str, value: Any) -> float:
    """A share, from 0 to 1."""
    return number(what, value, least=0.0, most=1.0)


def count(what: str, value: Any, *, least: int = 1) -> int:
    """A whole number, not smaller than `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(what, f"must be a whole number, not {value!r}")
    if value < least:
        raise ConfigurationError(what, f"must be at least {least}, not {value}")
    return value


def name(what: str, value: Any) -> str:
    """A non-empty string of printable characters without surrounding blanks."""
    if not isinstance(value, str):
        raise ConfigurationError(what, f"must be a string, not {value!r}")
    if not value or value != value.strip() or not value.isprintable():
        raise ConfigurationError(
            what, f"must be a non-empty printable string without outer blanks, not {value!r}"
        )
    return value


def function(what: str, value: Any) -> Any:
    """A plain function, or None; what returns a coroutine would never be awaited here."""
    if value is not None and (not callable(value) or iscoroutinefunction(value)):
        raise ConfigurationError(what, f"must be a plain function, not {value!r}")
    return value


def judge(what: str, value: Any) -> Callable[[Any], object] | Mapping[str, Any] | None:
    """What may judge an answer: a plain function, a JSON Schema, or nothing."""
    if isinstance(value, Mapping):
        return value
    if value is not None and not callable(value):
        raise ConfigurationError(what, f"must be a function or a JSON Schema, not {value!r}")
    judging: Callable[[Any], object] | None = function(what, value)
    return judging


def instance(what: str, value: Any, kind: type[KindT]) -> KindT | None:
    """An object of this class, or None."""
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(what, f"must be a {kind.__name__}, not {value!r}")
    return value


def near(given: str, known: Iterable[str]) -> str:
    """The wrong name, quoted, with the known one that comes nearest or else the list of them."""
    names = sorted(known)
    from difflib import get_close_matches  # for errors alone

    close = get_close_matches(given, names, n=1)
    if close:
        return f"{given!r}; did you mean {close[0]!r}?"
    return f"{given!r}; there are {', '.join(map(repr, names[:10])) or 'none'}"
