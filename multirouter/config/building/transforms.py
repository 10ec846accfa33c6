"""Transforms of requests by data: other names, fixed values, system prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

_SYSTEM_ROLES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class FieldTransform:
    """Returns a changed copy of a request; see `TransformSection`.

    Attributes:
        rename: new names by the client's.
        remove: fields that are left out.
        set: fixed values by field.
        system: system prompts by model name or wildcard, the first match counts.
        replace_system: whether they replace those of the client.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, str] = field(default_factory=dict)
    replace_system: bool = False

    def __call__(self, request: Any) -> Any:
        """The changed request; anything but a mapping stays as it is."""
        if not isinstance(request, Mapping):
            return request
        changed = {self.rename.get(name, name): value for name, value in request.items()}
        for name in self.remove:
            changed.pop(name, None)
        changed.update(self.set)
        prompt = self._prompt(changed.get("model"))
        messages = changed.get("messages")
        if prompt is not None and isinstance(messages, list):
            kept = [m for m in messages if not (self.replace_system and _is_system(m))]
            changed["messages"] = [{"role": "system", "content": prompt}, *kept]
        return changed

    def _prompt(self, model: Any) -> str | None:
        name = model if isinstance(model, str) else ""
        matching = (text for pattern, text in self.system.items() if fnmatchcase(name, pattern))
        return next(matching, None)


def make_transform(section: Any) -> FieldTransform | None:
    """The transform of a `TransformSection`; None without one."""
    if section is None:
        return None
    system = section.system or {}
    return FieldTransform(
        dict(section.rename),
        section.remove,
        dict(section.set),
        {"*": system} if isinstance(system, str) else dict(system),
        section.replace_system,
    )


def _is_system(message: Any) -> bool:
    return isinstance(message, Mapping) and message.get("role") in _SYSTEM_ROLES
