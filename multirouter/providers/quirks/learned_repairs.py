"""Repairs the requests of one adapter, remembers what helped, and counts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from multirouter.providers.json_bytes import dumps_strict, loads
from multirouter.providers.quirks.repair_from_error import (
    REPAIRABLE,
    Repair,
    complaint_of,
    find_repair,
)
from multirouter.providers.transport.http import PreparedRequest

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter

METRIC = "multirouter_request_repairs_total"
"""Counts repairs that helped, by provider, model and parameter."""

MAX_REPAIRS = 5
"""Repairs of one request: a service names one field in each of its errors."""

MAX_MODELS = 256
"""Models whose repairs are remembered."""

_MAX_REMEMBERED = 16
"""Repairs that are remembered of one model."""

_KINDS = frozenset({FailureKind.REQUEST, FailureKind.UNSUPPORTED})
_MAX_LABEL = 100
_counters: list[Counter] = []
_registries: WeakSet[CollectorRegistry] = WeakSet()


def show_repairs(registry: CollectorRegistry | None) -> None:
    """Shows the counter of this process in a registry too; it is always in the default one.

    Args:
        registry: the registry; None is the default one.
    """
    if registry is None or registry in _registries:
        return
    _registries.add(registry)
    for counter in _counters:
        registry.register(counter)


class Attempted(NamedTuple):
    """A repair that was made, of which it is not known yet whether it helps.

    Attributes:
        model: the model of the request, or its address for services that have it there.
        repair: the change.
        complaint: what the service said before; when it says so again, the repair did not help.
    """

    model: str
    repair: Repair
    complaint: object


class LearnedRepairs:
    """The repairs that helped, by model; what is not used for long is forgotten first."""

    def __init__(self) -> None:
        self._by_model: dict[str, tuple[Repair, ...]] = {}

    def __bool__(self) -> bool:
        """Whether anything was learned."""
        return bool(self._by_model)

    def of(self, model: str) -> tuple[Repair, ...]:
        """The repairs for a model."""
        return self._by_model.get(model, ())

    def remember(self, model: str, repair: Repair) -> None:
        """Remembers a repair that helped."""
        known = self._by_model.pop(model, ())
        if len(self._by_model) >= MAX_MODELS:
            del self._by_model[next(iter(self._by_model))]
        known = (*known, repair) if repair not in known else known
        self._by_model[model] = known[-_MAX_REMEMBERED:]


class RequestRepairs:
    """Repairs prepared requests in place.

    Args:
        provider: the provider's name, for the metric.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._learned = LearnedRepairs()

    def prepare(self, prepared: PreparedRequest) -> None:
        """Applies what was learned about the model of a request."""
        if not self._learned:
            return
        body = _body_of(prepared)
        changed = False
        for repair in self._learned.of(_model_of(prepared, body)):
            changed = repair.apply(body) or changed
        if changed:
            prepared.body = dumps_strict(body)

    def find(
        self,
        prepared: PreparedRequest,
        failure: ProviderError,
        error: bytes,
        earlier: Sequence[Attempted] = (),
    ) -> Attempted | None:
        """Repairs a rejected request; None if it cannot be repaired.

        Args:
            prepared: the request; changed in place.
            failure: what the rejection counts as.
            error: the body of the response.
            earlier: the repairs of this request so far.
        """
        if failure.status not in REPAIRABLE or failure.kind not in _KINDS:
            return None
        complaint = complaint_of(error)
        if len(earlier) == MAX_REPAIRS or any(each.complaint == complaint for each in earlier):
            return None
        body = _body_of(prepared)
        repair = find_repair(body, error)
        if repair is None or not repair.apply(body):
            return None
        prepared.body = dumps_strict(body)
        return Attempted(_model_of(prepared, body), repair, complaint)

    def helped(self, attempted: Iterable[Attempted]) -> None:
        """Remembers and counts the repairs after which the service answered."""
        for model, repair, _ in attempted:
            self._learned.remember(model, repair)
            labels = (self._provider, model, repair.parameter)
            _counter().labels(*(label[:_MAX_LABEL] for label in labels)).inc()


def _body_of(prepared: PreparedRequest) -> dict[str, Any]:
    """The body of a request; empty for a form."""
    if not isinstance(prepared.body, bytes):
        return {}
    body = loads(prepared.body)
    return body if isinstance(body, dict) else {}


def _model_of(prepared: PreparedRequest, body: dict[str, Any]) -> str:
    model = body.get("model")
    return model if isinstance(model, str) else prepared.url.partition("?")[0]


def _counter() -> Counter:
    """The counter, made with the first repair: a process without repairs has no such series."""
    if not _counters:
        from prometheus_client import Counter

        text = "Requests that a service took after a parameter was dropped, renamed or limited"
        counter = Counter(METRIC, text, ["provider", "model", "parameter"])
        _counters.append(counter)
        for registry in _registries:
            registry.register(counter)
    return _counters[0]
