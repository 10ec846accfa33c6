"""Builds HTML from elements; text that is not an element is escaped."""

from __future__ import annotations

import html
from typing import TypeAlias


class Markup(str):
    """A string that is HTML already and is not escaped."""

    __slots__ = ()


Attribute: TypeAlias = str | float | None

_VOID = frozenset({"meta", "rect", "line", "path", "polyline"})


def element(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """Returns one element.

    Args:
        name: the element's name.
        children: its content; Markup is used as it is, other text is escaped.
        attributes: by name, `class_` for `class`, an underscore for a hyphen; None is omitted.
    """
    rendered = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{rendered}/>")
    return Markup(f"<{name}{rendered}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Concatenates parts; text that is not Markup is escaped."""
    return Markup("".join(p if isinstance(p, Markup) else html.escape(p) for p in parts))


def _attribute(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
