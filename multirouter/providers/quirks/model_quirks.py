"""Quirks of a model: what it takes of a request, and the request in that form.

The quirks of a model are those of all rows of the table that match its name, and of the user's own
rows, which come last and win.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.providers.quirks.table import TABLE

Overrides: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Quirks by a model's name or pattern; the attributes are those of `Quirks`."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts of reasoning, ascending."""

ThinkingStyle = Literal["adaptive", "budget"]

_OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens")
_MAX_CACHED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What one model takes. The defaults are those of a model that takes everything.

    Attributes:
        drops: fields that it rejects.
        renames: fields that it takes under another name.
        efforts: values of `reasoning_effort` that it takes; empty for none, None for all. Another
            value becomes the nearest lower one, or else the lowest.
        needs_responses: whether OpenAI's Responses are needed for requests with tools, because it
            does not reason with tools in chat completions.
        one_of: fields of which it takes the first that is set.
        max_output: the longest output that may be requested, tokens; None when unknown.
        thinking: how Anthropic's models are asked to think: `adaptive` with an effort, or a
            `budget` of tokens; None when unknown.
        prefill: whether it continues a last message of the assistant.
    """

    drops: frozenset[str] = frozenset()
    renames: Mapping[str, str] = field(default_factory=dict)
    efforts: tuple[str, ...] | None = None
    needs_responses: bool = False
    one_of: tuple[str, ...] = ()
    max_output: int | None = None
    thinking: ThinkingStyle | None = None
    prefill: bool = True

    def apply(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The canonical request in the form that the model takes; the same object if it is."""
        if self is NO_QUIRKS or self == NO_QUIRKS:
            return request
        adapted = {key: value for key, value in request.items() if key not in self.drops}
        for old, new in self.renames.items():
            value = adapted.pop(old, None)
            if value is not None:
                adapted.setdefault(new, value)
        self._set_effort(adapted)
        for name in [name for name in self.one_of if adapted.get(name) is not None][1:]:
            del adapted[name]
        if self.max_output is not None:
            for name in _OUTPUT_FIELDS:
                limit = adapted.get(name)
                if type(limit) is int and limit > self.max_output:
                    adapted[name] = self.max_output
        return adapted

    def effort(self, wanted: Any) -> str | None:
        """The effort that the model takes instead of the wanted one; None for none at all."""
        if self.efforts is None or wanted in self.efforts or wanted not in EFFORTS:
            return wanted if isinstance(wanted, str) else None
        allowed = [effort for effort in EFFORTS if effort in self.efforts]
        lower = allowed[: sum(EFFORTS.index(one) < EFFORTS.index(wanted) for one in allowed)]
        return lower[-1] if lower else next(iter(allowed), None)

    def _set_effort(self, adapted: dict[str, Any]) -> None:
        wanted = adapted.get("reasoning_effort")
        if wanted is not None:
            effort = self.effort(wanted)
            adapted.pop("reasoning_effort") if effort is None else adapted.update(
                reasoning_effort=effort
            )


NO_QUIRKS = Quirks()


class QuirkTable:
    """The quirks of the models of one provider.

    Args:
        what: the provider, for errors.
        service: whose rows of `TABLE` apply (`openai`, `anthropic`, ...).
        overrides: settings of `Quirks` by a model's name, or pattern of names with `*`; the last
            that sets an attribute wins.

    Raises:
        ConfigurationError: an override has an unknown attribute or an invalid value.
    """

    def __init__(self, what: str, service: str, overrides: Overrides | None = None) -> None:
        self._rows = [row for row in TABLE if row.service == service]
        self._overrides: Sequence[tuple[str, dict[str, Any]]] = [
            (pattern, _checked(f"{what}.quirks[{pattern!r}]", settings))
            for pattern, settings in (overrides or {}).items()
        ]
        self._cache: dict[str, Quirks] = {}

    def of(self, model: object) -> Quirks:
        """The quirks of a model; none for a name that is no string."""
        if not isinstance(model, str):
            return NO_QUIRKS
        found = self._cache.get(model)
        if found is None:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            found = self._cache[model] = self._find(model)
        return found

    def _find(self, model: str) -> Quirks:
        quirks = NO_QUIRKS
        name = model.rpartition("/")[2].rpartition("anthropic.")[2]
        for row in self._rows:
            if row.pattern.match(name):
                quirks = replace(quirks, **row.settings)
        for pattern, settings in self._overrides:
            if fnmatchcase(model, pattern):
                quirks = replace(quirks, **settings)
        return quirks


_LIST: tuple[type, ...] = (list, tuple, set, frozenset)
_KINDS: Mapping[str, tuple[Any, Callable[[Any], Any]]] = {
    "drops": (_LIST, frozenset),
    "efforts": (_LIST, tuple),
    "one_of": (_LIST, tuple),
    "renames": (Mapping, dict),
}
"""What is accepted for attributes that are no single value, and what it becomes."""


def _checked(what: str, settings: Any) -> dict[str, Any]:
    """Checked settings of `Quirks`, with the types of its attributes."""
    if not isinstance(settings, Mapping):
        raise ConfigurationError(what, f"must be a mapping of quirks, got {settings!r:.80}")
    known = {one.name for one in fields(Quirks)}
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in known:
            raise ConfigurationError(what, f"has an unknown quirk {check.suggestion(name, known)}")
        kind = _KINDS.get(name)
        if kind is None or (name == "efforts" and value is None):
            checked[name] = value
        elif not isinstance(value, kind[0]):
            shape = "a mapping" if kind[1] is dict else "a list"
            raise ConfigurationError(f"{what}.{name}", f"must be {shape}, got {value!r:.80}")
        else:
            checked[name] = kind[1](value)
    for effort in checked.get("efforts") or ():
        check.one_of(f"{what}.efforts", effort, EFFORTS)
    if checked.get("thinking") is not None:
        check.one_of(f"{what}.thinking", checked["thinking"], ("adaptive", "budget"))
    if checked.get("max_output") is not None:
        check.count(f"{what}.max_output", checked["max_output"])
    return checked


def quirk_table(
    what: str,
    service: str,
    overrides: Overrides | None,
    max_output: int | None,
) -> QuirkTable:
    """The quirks of a provider's models, whose own `max_output` is that of all of them."""
    own = {} if max_output is None else {"*": {"max_output": max_output}}
    return QuirkTable(what, service, {**own, **(overrides or {})})
