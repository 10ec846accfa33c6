"""Options of a request: its targets, fallback conditions and timeout, apart from its body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.gateway.http.http_error import invalid_field, shown

EXTENSION_FIELDS = ("fallback_models", "fallback_conditions", "route", "timeout")
"""Fields of a request for the gateway itself, which no provider gets; `metadata` is passed on."""

MAX_FALLBACKS = 16

_MAX_TIMEOUT = 1e9


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """A parsed request.

    Attributes:
        body: the body for providers, without the gateway's own fields. It is emptied when the
            request has ended.
        targets: the routes and models that may answer, in the order in which they are tried.
        statuses: the HTTP statuses after which the next target is tried; None for all failures
            that are not the fault of the request.
        timeout: seconds for the whole request, or None for the route's timeout.
        operation: name of the operation that the endpoint serves; "" for chat.
        only: the providers that can answer, by name; None for all. See `MadeIds`.
    """

    body: dict[str, Any]
    targets: tuple[Target, ...]
    statuses: frozenset[int] | None = None
    timeout: float | None = None
    operation: str = ""
    only: frozenset[str] | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The request for the router: the body, with the model of the first target."""
        model = self.targets[0].model
        if model:
            self.body["model"] = model
        return self.body

    @property
    def route(self) -> str | Route | tuple[str, ...] | Chain:
        """The route of the call: that of the only target of a chat, or a chain."""
        if len(self.targets) == 1 and not self.operation and self.only is None:
            return self.targets[0].route
        return Chain(self.targets, statuses=self.statuses, operation=self.operation, only=self.only)


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
        if not isinstance(route, str):
            raise invalid_field("route", f"must be a route's name, got {shown(route)}")
        if model is not None and not isinstance(model, str):
            raise invalid_field("model", f"must be a string, got {shown(model)}")
        check_route(route)
        first = Target(route, model or "")
    else:
        if not isinstance(model, str) or not model:
            raise invalid_field("model", f"must be a model's name, got {shown(model)}")
        first = find(model)
    targets: tuple[Target, ...] = (first,)
    fallbacks = _fallback_models(own["fallback_models"])
    if fallbacks:
        targets = tuple(dict.fromkeys([first, *map(find, fallbacks)]))
    statuses, attempt_timeout = _fallback_conditions(own["fallback_conditions"])
    if attempt_timeout is not None:
        others = (replace(one, attempt_timeout=attempt_timeout) for one in targets[:-1])
        targets = (*others, targets[-1])
    return RequestOptions(body, targets, statuses, _seconds(own["timeout"], "timeout", 1.0))


def _fallback_models(value: Any) -> list[str] | tuple[str, ...]:
    if not value:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        problem = f"must be a list of model names, got {shown(value)}"
        raise invalid_field("fallback_models", problem)
    if len(value) > MAX_FALLBACKS:
        problem = f"must have at most {MAX_FALLBACKS} items, got {len(value)}"
        raise invalid_field("fallback_models", problem)
    return value


def _fallback_conditions(value: Any) -> tuple[frozenset[int] | None, float | None]:
    """The statuses that fall back, and the timeout of each model but the last, seconds."""
    if value is None:
        return None, None
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
    return None if codes is None else frozenset(codes), timeout


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
