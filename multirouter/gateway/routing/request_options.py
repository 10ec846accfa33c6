"""What a request wants besides the model's answer: where it may go, how long, what if it fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from multirouter.errors import CallFailed, CallTimeout, ProviderError
from multirouter.gateway.http.error_responses import Refusal, refusal_of
from multirouter.gateway.routing.model_catalogue import Target
from multirouter.model import FailureKind

EXTENSIONS = ("fallback_models", "fallback_conditions", "route", "timeout")
"""Fields of a request that are the gateway's own and go no further; `metadata` travels on."""

MOST_FALLBACKS = 16

_NO_USE = frozenset({FailureKind.REQUEST, FailureKind.CONTENT_FILTER})


@dataclass(frozen=True, slots=True)
class Conditions:
    """When a request goes on to its next model.

    Attributes:
        statuses: only failures of these statuses; None for all that another model may mend.
        patience: seconds that a model which is not the last may take, or None.
    """

    statuses: frozenset[int] | None = None
    patience: float | None = None

    def allow(self, error: BaseException) -> bool:
        """Whether the next model may be asked after this error."""
        if self.patience is not None and isinstance(error, CallTimeout):
            return True
        if self.statuses is not None:
            return not self.statuses.isdisjoint(_statuses_of(error))
        return not (isinstance(error, ProviderError) and error.kind in _NO_USE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request, taken apart.

    Attributes:
        body: what goes to providers, without `model` and the gateway's own fields.
        targets: where it may go, in order.
        conditions: when it goes on to the next of them.
        timeout: seconds for all of it, or None for the route's.
    """

    body: dict[str, Any]
    targets: tuple[Target, ...]
    conditions: Conditions = field(default_factory=Conditions)
    timeout: float | None = None


def wanted(
    body: dict[str, Any],
    find: Callable[[str], Target],
    check_route: Callable[[str], None],
) -> Wanted:
    """Takes a request apart.

    Args:
        body: the parsed request; its own fields are taken out.
        find: the target of a model; raises Refusal for an unknown one.
        check_route: raises Refusal for an unknown route.

    Raises:
        Refusal: 400 naming the field, or 404 for an unknown model.
    """
    own = {name: body.pop(name, None) for name in EXTENSIONS}
    model = body.pop("model", None)
    route = own["route"]
    if route is not None:
        _must(isinstance(route, str), "route", "must be a route's name")
        _must(model is None or isinstance(model, str), "model", "must be a string")
        check_route(route)
        first = Target(route, model or "")
    else:
        _must(isinstance(model, str) and model, "model", "is required: a model's name")
        first = find(model)
    names = own["fallback_models"] or ()
    _must(
        isinstance(names, list | tuple) and all(isinstance(name, str) for name in names),
        "fallback_models",
        "must be a list of models' names",
    )
    _must(len(names) <= MOST_FALLBACKS, "fallback_models", f"must be at most {MOST_FALLBACKS}")
    return Wanted(
        body,
        (first, *map(find, names)),
        _conditions(own["fallback_conditions"]),
        _seconds(own["timeout"], "timeout", 1.0),
    )


def _conditions(given: Any) -> Conditions:
    if given is None:
        return Conditions()
    field_ = "fallback_conditions"
    _must(isinstance(given, Mapping), field_, "must be an object")
    unknown = sorted(set(given) - {"status_codes", "timeout_ms"})
    _must(not unknown, field_, "knows status_codes and timeout_ms")
    codes = given.get("status_codes")
    _must(
        codes is None or (isinstance(codes, list) and all(type(code) is int for code in codes)),
        f"{field_}.status_codes",
        "must be a list of HTTP statuses",
    )
    patience = _seconds(given.get("timeout_ms"), f"{field_}.timeout_ms", 1000.0)
    return Conditions(None if codes is None else frozenset(codes), patience)


def _seconds(given: Any, name: str, units: float) -> float | None:
    if given is None:
        return None
    number = isinstance(given, int | float) and not isinstance(given, bool)
    _must(number and 0 < given <= 1e9, name, "must be a number above 0")
    return max(float(given) / units, 1e-6)


def _must(met: object, param: str, what: str) -> None:
    if not met:
        raise Refusal(400, f"{param} {what}", code="invalid_value", param=param)


def _statuses_of(error: BaseException) -> set[int]:
    """The statuses of an error: what the client would get, and what the providers gave."""
    statuses = {refusal_of(error).status}
    if isinstance(error, CallFailed):
        statuses |= {a.verdict.status for a in error.attempts if a.verdict.status is not None}
    return statuses
