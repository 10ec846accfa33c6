"""Facts: what one process of a fleet tells the others."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

FactKind = Literal["open", "closed", "failing", "cooldown", "limit", "hold", "weight", "revoked"]
"""What a fact says.

`open`: a circuit opened, or its trial failed. `closed`: a circuit closed, because its trials
passed. `failing`: attempts fail, and the circuit is still closed. `cooldown`: a provider asked for
a pause. `limit`: a provider reports that little is left of its limits. `hold`, `weight`: an
operator set them; None removes the hold, and returns to the configured weight. `revoked`: a
client's key is revoked.
"""

FACT_KINDS: frozenset[str] = frozenset(get_args(FactKind))

PER_ORIGIN: frozenset[str] = frozenset({"open", "failing", "cooldown", "limit"})
"""Kinds of which each process has a fact of its own; of the others the newest of any counts."""

MAX_TEXT = 500
"""Characters of a subject, an origin or a text of a value; longer ones are no facts of ours."""

MAX_CLOCK = 2**52
"""Highest integer that is accepted, as a logical time or in a value: JSON and Lua compare larger
ones wrongly, and one of hundreds of digits is no float."""


class Stamp(NamedTuple):
    """Logical time of a fact: a Lamport clock, so that no two machines' clocks are compared.

    Attributes:
        clock: larger than that of every fact that its origin knew.
        origin: the id of the process; decides between equal clocks.
    """

    clock: int
    origin: str


class Fact(NamedTuple):
    """One statement of one process about a provider, a model of a provider, or a key.

    Attributes:
        kind: see `FactKind`.
        subject: the provider's name, a `model_subject`, or the key's id.
        stamp: when and by which process.
        value: plain data: see `Opening` for `open`; for `failing` the consecutive failures; for
            `cooldown` whether it began with a rate limit; for `limit` a list of `LimitReading`s;
            else the hold, the weight, or None.
        left: seconds for which it stays true, at the time it was received; infinite for what lasts
            until it is changed.
    """

    kind: FactKind
    subject: str
    stamp: Stamp
    value: Any = None
    left: float = math.inf

    @property
    def slot(self) -> tuple[str, str, str]:
        """Facts of one slot replace each other; the one with the newest stamp stays."""
        return (self.kind, self.subject, self.stamp.origin if self.kind in PER_ORIGIN else "")

    def as_data(self) -> list[Any]:
        """The fact as JSON data; see `fact_from_data`."""
        left = self.left if self.left < math.inf else None
        return [self.kind, self.subject, self.stamp.clock, self.stamp.origin, self.value, left]


class Opening(NamedTuple):
    """What is behind an `open` fact.

    Attributes:
        reason: of the transition, see `CircuitChanged.reason`.
        openings: consecutive openings, at least 1.
        failures: failed attempts in the circuit's window, at least 0.
        answered: whether the provider itself answered with the failure (an HTTP 503, say). Without
            an answer the fault may be the network of the process.
        host: the machine of the process.
    """

    reason: str
    openings: int
    failures: int
    answered: bool
    host: str


class LimitReading(NamedTuple):
    """What a provider reported of one of its limits; a part of a `limit` fact.

    Attributes:
        name: tells the provider's limits apart.
        tokens: whether it is a limit of tokens, and not of requests.
        remaining: units that were left.
        limit: units of the whole limit, or None.
        sooner: seconds by which it is refilled before the fact ends, at least 0.
    """

    name: str
    tokens: bool
    remaining: float
    limit: float | None
    sooner: float


MAX_READINGS = 16
"""Readings of one `limit` fact."""


def model_subject(provider: str, model: str) -> str:
    """The subject of facts about one model of a provider."""
    return json.dumps([provider, model])


def model_of_subject(subject: str) -> tuple[str, str]:
    """The provider and the model of a `model_subject`; two empty strings for any other text."""
    try:
        provider, model = json.loads(subject)
    except (ValueError, TypeError, RecursionError):
        return "", ""
    if not (isinstance(provider, str) and isinstance(model, str)):
        return "", ""
    return provider, model


def opening_of(fact: Fact) -> Opening:
    """What is behind an `open` fact; the value was validated by `fact_from_data`."""
    return Opening(*fact.value)


def fact_value(fact: Fact) -> Any:
    """The value of a fact for people: that of an opening with the names of its fields."""
    if fact.kind == "limit":
        return [LimitReading(*reading)._asdict() for reading in fact.value]
    return opening_of(fact)._asdict() if fact.kind == "open" else fact.value


def fact_from_data(data: Any) -> Fact | None:
    """Reads a fact from JSON data; None for anything that is not one, such as a later format's."""
    if not isinstance(data, list) or len(data) != 6:
        return None
    kind, subject, clock, origin, value, left = data
    if not (_is_text(kind) and _is_text(subject) and _is_text(origin)) or kind not in FACT_KINDS:
        return None
    if not _is_count(clock):
        return None
    if left is None:
        left = math.inf
    if not _is_number(left) or (left == math.inf and kind in PER_ORIGIN):
        return None
    if not _VALID[kind](value):
        return None
    return Fact(kind, subject, Stamp(clock, origin), value, float(left))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CLOCK


def _is_number(value: Any) -> bool:
    return value >= 0 if isinstance(value, float) else _is_count(value)


def _is_opening(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 5:
        return False
    reason, openings, failures, answered, host = value
    counts = _is_count(openings) and _is_count(failures)
    return _is_text(reason) and counts and isinstance(answered, bool) and _is_text(host)


def _is_readings(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_READINGS and all(map(_is_reading, value))


def _is_reading(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 5:
        return False
    name, tokens, remaining, limit, sooner = value
    numbers = (remaining, 0 if limit is None else limit, sooner)
    return (
        _is_text(name)
        and isinstance(tokens, bool)
        and all(_is_number(number) and number < math.inf for number in numbers)
    )


def _is_weight(value: Any) -> bool:
    return value is None or (_is_number(value) and value < math.inf)


def _is_hold(value: Any) -> bool:
    return value in {None, "open", "closed", "disabled", "metrics_only"}


_VALID: Mapping[str, Callable[[Any], bool]] = {
    "open": _is_opening,
    "closed": lambda value: value is None,
    "failing": _is_count,
    "cooldown": lambda value: isinstance(value, bool),
    "limit": _is_readings,
    "hold": lambda value: (value is None or isinstance(value, str)) and _is_hold(value),
    "weight": _is_weight,
    "revoked": lambda value: value is None,
}
