"""Checks of settings; each raises ConfigurationError with the setting, the value and the range."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, TypeVar

from multirouter.errors import ConfigurationError

KindT = TypeVar("KindT")

MIN_DURATION = 1e-6
"""Shortest duration of a setting, seconds: loop clocks are no finer, and windows have slices."""

MAX_DURATION = 1e9
"""Longest finite duration of any setting, seconds (some thirty years): more is a mistake."""

MAX_NAME_LENGTH = 200
"""Longest unknown name that an error shows whole, characters."""


def number(
    what: str,
    value: Any,
    *,
    above: float | None = None,
    minimum: float | None = None,
    maximum: float = math.inf,
    allow_inf: bool = False,
    unit: str = "",
) -> float:
    """Returns `value` as a float.

    Args:
        what: the setting's name, for the error.
        value: the user's value; bool and NaN are never valid.
        above: exclusive lower bound.
        minimum: inclusive lower bound.
        maximum: inclusive upper bound.
        allow_inf: whether `math.inf` is valid (it means no limit).
        unit: what the number counts (`seconds`), for the error.

    Raises:
        ConfigurationError: the value is no real number, or out of range.
    """

    def invalid(got: object) -> ConfigurationError:
        allowed = _allowed(above, minimum, maximum, unit, allow_inf=allow_inf)
        return ConfigurationError(what, f"must be {allowed}, got {got}")

    if isinstance(value, bool) or not isinstance(value, Real):
        raise invalid(repr(value))
    try:
        checked = float(value)
    except OverflowError:
        raise invalid("a number beyond the range of a float") from None
    if math.isinf(checked) and allow_inf and checked > 0:
        return checked
    if (
        not math.isfinite(checked)
        or (above is not None and checked <= above)
        or (minimum is not None and checked < minimum)
        or checked > maximum
    ):
        raise invalid(repr(value))
    return checked


def _allowed(
    above: float | None, minimum: float | None, maximum: float, unit: str, *, allow_inf: bool
) -> str:
    """The valid range as text: `a finite number >= 0 and <= 1`."""
    bounds = []
    if above is not None:
        bounds.append(f"> {_short(above)}")
    if minimum is not None:
        bounds.append(f">= {_short(minimum)}")
    if maximum != math.inf:
        bounds.append(f"<= {_short(maximum)}")
    words = ["a finite number", f"of {unit}" if unit else "", " and ".join(bounds)]
    return " ".join(filter(None, words)) + (", or math.inf" if allow_inf else "")


def _short(bound: float) -> str:
    """A bound as users write it: `1e9`, not `1e+09`."""
    return f"{bound:g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def duration(what: str, value: Any, *, allow_inf: bool = False) -> float:
    """A duration in seconds, from `MIN_DURATION` to `MAX_DURATION`."""
    return number(
        what,
        value,
        minimum=MIN_DURATION,
        maximum=MAX_DURATION,
        allow_inf=allow_inf,
        unit="seconds",
    )


def seconds(what: str, value: Any, *, maximum: float = MAX_DURATION) -> float:
    """A time in seconds that may be 0, up to `maximum`."""
    return number(what, value, minimum=0.0, maximum=maximum, unit="seconds")


def rate(what: str, value: Any) -> float:
    """A rate in units per minute, from 1e-6 (one in two years) to 1e12."""
    return number(what, value, minimum=1e-6, maximum=1e12)


def weight(what: str, value: Any) -> float:
    """A weight: 0, or from 1e-9 to 1e9, so that no sum of weights overflows or vanishes."""
    checked = number(what, value, minimum=0.0, maximum=1e9)
    if 0.0 < checked < 1e-9:
        raise ConfigurationError(what, f"must be 0 or >= 1e-9, got {value!r}")
    return checked


def share(what: str, value: Any) -> float:
    """A share, from 0 to 1."""
    return number(what, value, minimum=0.0, maximum=1.0)


def count(what: str, value: Any, *, minimum: int = 1, maximum: int | None = None) -> int:
    """An integer of at least `minimum`, and of at most `maximum` if there is one."""
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= minimum
    if not valid or (maximum is not None and value > maximum):
        limit = "" if maximum is None else f" and <= {maximum}"
        raise ConfigurationError(what, f"must be an integer >= {minimum}{limit}, got {value!r}")
    return int(value)


def flag(what: str, value: Any) -> bool:
    """True or False, and no other value that only counts as one."""
    if not isinstance(value, bool):
        raise ConfigurationError(what, f"must be True or False, got {value!r}")
    return value


def one_of(what: str, value: Any, allowed: Iterable[Any]) -> None:
    """Checks that a value is one of a few."""
    values = tuple(allowed)
    if value not in values:
        known = ", ".join(map(repr, values))
        raise ConfigurationError(what, f"must be one of {known}, got {value!r}")


def objects(what: str, value: Any, kind: str) -> tuple[Any, ...]:
    """A list of objects, as a tuple; a string and what cannot be iterated are rejected.

    Args:
        what: the setting's name, for the error.
        value: the user's value.
        kind: what the list must contain (`Provider objects`), for the error.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(what, f"must be a list of {kind}, got {value!r}")
    return tuple(value)


def name(what: str, value: Any) -> str:
    """A non-empty string of printable characters without surrounding whitespace."""
    if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
        raise ConfigurationError(
            what,
            f"must be a non-empty printable string without surrounding whitespace, got {value!r}",
        )
    return value


def instance(what: str, value: Any, kind: type[KindT]) -> KindT | None:
    """An instance of `kind`, or None."""
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(what, f"must be a {kind.__name__}, got {value!r}")
    return value


def suggestion(unknown: object, known: Iterable[str]) -> str:
    """The unknown name, quoted, with the closest known name, or with up to ten known names.

    A name that is longer than any name here is cut, and not compared: that would take seconds. What
    is no string, such as a `Provider` in the place of its name, is no name at all.
    """
    if not isinstance(unknown, str):
        return f"{unknown!r}; a name must be a string"
    if len(unknown) > MAX_NAME_LENGTH:
        return f"{unknown[:MAX_NAME_LENGTH]!r}, which is cut here; it has {len(unknown)} characters"
    names = sorted(known)
    from difflib import get_close_matches  # imported only for errors

    close = get_close_matches(unknown, names, n=1)
    if close:
        return f"{unknown!r}; did you mean {close[0]!r}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{unknown!r}; known: {', '.join(map(repr, names[:10])) or 'none'}{more}"
