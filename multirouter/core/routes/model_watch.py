"""Watches which models the calls of a route name, for providers that serve several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate

MAX_SEEN = 256
"""Names of models that are remembered as seen; beyond this number they are forgotten."""


class ModelWatch:
    """Tells the gates of a route's providers which models are in use, and which are open.

    Attributes:
        always: whether it must see every request: a provider computes its model from requests.
    """

    __slots__ = ("_members", "_seen", "_tripped", "always")

    def __init__(self, members: Sequence[Candidate]) -> None:
        self._members = members
        self._seen: set[str] = set()
        self._tripped = members[0].gate.tripped_models
        self.always: bool = any(callable(member.provider.model) for member in members)

    def excluded(self, request: Any, now: float, ineligible: frozenset[str]) -> frozenset[str]:
        """Adds the providers whose circuit for the request's model is open to the ineligible ones.

        Args:
            request: a call's request.
            now: loop time, seconds.
            ineligible: keys of the candidates that cannot serve it.
        """
        model = request.get("model") if isinstance(request, Mapping) else None
        if self.always or (isinstance(model, str) and model not in self._seen):
            self._see(request, model, now)
        if not self._tripped.value:
            return ineligible
        return ineligible.union(self.reasons(request, now))

    def reasons(self, request: Any, now: float) -> dict[str, str]:
        """Why the circuit of the request's model excludes providers, in words, by their keys."""
        found = {}
        for member in self._members:
            models = member.gate.models
            model = None if models is None else member.pricing.model_of(request)
            if models is not None and model is not None and models.is_open(model, now):
                found[member.key] = models.describe(model, now)
        return found

    def ready_in(self, request: Any, now: float) -> float | None:
        """Seconds until the first circuit of the request's model half-opens; None without one."""
        waits = [
            models.ready_in(model, now)
            for member in self._members
            if (models := member.gate.models) is not None
            and (model := member.pricing.model_of(request)) is not None
        ]
        return min((wait for wait in waits if wait), default=None)

    def _see(self, request: Any, model: Any, now: float) -> None:
        if isinstance(model, str):
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(model)
        for member in self._members:
            named = member.pricing.model_of(request, report=True)
            if named is not None:
                member.gate.see_model(named, now)


def watch_of(members: Sequence[Candidate]) -> ModelWatch | None:
    """The watch of a route; None when each of its providers serves one model, whatever is asked."""
    watched = [member for member in members if not isinstance(member.provider.model, str)]
    return ModelWatch(watched) if watched else None
