"""Options of a request: its targets, fallback conditions and timeout, apart from its body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from multirouter.errors import CallFailed, CallTimeout, ProviderError
from multirouter.gateway.http.http_error import http_error_from, invalid_field, shown
from multirouter.gateway.routing.model_catalogue import Target
from multirouter.model import FailureKind

EXTENSION_FIELDS = ("fallback_models", "fallback_conditions", "route", "timeout")
"""Fields of a request for the gateway itself, which no provider gets; `metadata` is passed on."""

MAX_FALLBACKS = 16

_MAX_TIMEOUT = 1e9

_SAME_EVERYWHERE = frozenset({FailureKind.REQUEST, FailureKind.CONTENT_FILTER})
"""Kinds that another model would answer with the same failure."""


@dataclass(frozen=True, slots=True)
class FallbackConditions:
    """Conditions under which a request falls back to its next model.

    Attributes:
        statuses: only failures with these HTTP statuses; None for all that are not the fault of
            the request.
        timeout: seconds for a model that is not the last, or None.
    """

    statuses: frozenset[int] | None = None
    timeout: float | None = None

    def met_by(self, error: BaseException) -> bool:
        """Whether the next model may be called after this error."""
        if self.timeout is not None and isinstance(error, CallTimeout):
            return True
        if self.statuses is not None:
            return not self.statuses.isdisjoint(_statuses_of(error))
        return not (isinstance(error, ProviderError) and error.kind in _SAME_EVERYWHERE)


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """A parsed request.

    Attributes:
        body: the body for providers, without `model` and the gateway's own fields.
        targets: the calls that may be made, in order.
        conditions: when the next target is used.
        timeout: seconds for the whole request, or None for the route's timeout.
    """

    body: dict[str, Any]
    targets: tuple[Target, ...]
    conditions: FallbackConditions = field(default_factory=FallbackConditions)
    timeout: float | None = None


def parse_options(
    body: dict[str, Any],
    find: Callable[[str], Target],
    check_route: Callable[[str], None],
) -> RequestOptions:
    """Separates a request's options from its body.

    Args:
        body: the parsed body; the gateway's own fields are removed from it.
        find: the target of a model; raises HTTPError for an unknown one.
        check_route: raises HTTPError for an unknown route.

    Raises:
        HTTPError: 400 naming the field, or 404 for an unknown model.
    """
    own = {name: body.pop(name, None) for name in EXTENSION_FIELDS}
    model = body.pop("model", None)
    route = own["route"]
    if route is not None:
        _require(isinstance(route, str), "route", f"must be a route's name, got {shown(route)}")
        valid = model is None or isinstance(model, str)
        _require(valid, "model", f"must be a string, got {shown(model)}")
        check_route(route)
        first = Target(route, model or "")
    else:
        valid = isinstance(model, str) and bool(model)
        _require(valid, "model", f"must be a model's name, got {shown(model)}")
        first = find(model)
    return RequestOptions(
        body,
        (first, *map(find, _fallback_models(own["fallback_models"]))),
        _fallback_conditions(own["fallback_conditions"]),
        _seconds(own["timeout"], "timeout", 1.0),
    )


def _fallback_models(value: Any) -> list[str] | tuple[str, ...]:
    names = value or ()
    _require(
        isinstance(names, list | tuple) and all(isinstance(name, str) for name in names),
        "fallback_models",
        f"must be a list of model names, got {shown(value)}",
    )
    count = len(names)
    _require(
        count <= MAX_FALLBACKS,
        "fallback_models",
        f"must have at most {MAX_FALLBACKS} items, got {count}",
    )
    return names


def _fallback_conditions(value: Any) -> FallbackConditions:
    if value is None:
        return FallbackConditions()
    param = "fallback_conditions"
    _require(isinstance(value, Mapping), param, f"must be an object, got {shown(value)}")
    unknown = sorted(set(value) - {"status_codes", "timeout_ms"})
    allowed = "allowed: `status_codes`, `timeout_ms`"
    _require(not unknown, param, f"has unknown fields: {', '.join(unknown)}; {allowed}")
    codes = value.get("status_codes")
    _require(
        codes is None or (isinstance(codes, list) and all(type(code) is int for code in codes)),
        f"{param}.status_codes",
        f"must be a list of HTTP statuses, got {shown(codes)}",
    )
    timeout = _seconds(value.get("timeout_ms"), f"{param}.timeout_ms", 1000.0)
    return FallbackConditions(None if codes is None else frozenset(codes), timeout)


def _seconds(value: Any, param: str, units_per_second: float) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    valid = is_number and 0 < value <= _MAX_TIMEOUT
    unit = "seconds" if units_per_second == 1.0 else "milliseconds"
    _require(valid, param, f"must be a number of {unit} > 0 and <= 1e9, got {shown(value)}")
    return max(float(value) / units_per_second, 1e-6)


def _require(valid: bool, param: str, problem: str) -> None:  # noqa: FBT001 - as `assert`
    if not valid:
        raise invalid_field(param, problem)


def _statuses_of(error: BaseException) -> set[int]:
    """The statuses of an error: that of the client's answer, and those of the providers."""
    statuses = {http_error_from(error).status}
    if isinstance(error, CallFailed):
        statuses |= {a.verdict.status for a in error.attempts if a.verdict.status is not None}
    return statuses
