"""HTML built of elements: whatever is not an element itself is escaped."""

from __future__ import annotations

import html
from typing import TypeAlias


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Attribute: TypeAlias = str | float | None

_VOID = frozenset({"meta", "rect", "line", "path", "polyline"})


def element(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """One element.

    Args:
        name: its name.
        children: what it holds: Markup as it is, any other text escaped.
        attributes: by name, `class_` for `class`, an underscore for a hyphen; None is left out.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{told}/>")
    return Markup(f"<{name}{told}>{joined(*children)}</{name}>")


def joined(*pieces: str) -> Markup:
    """Several pieces in a row."""
    return Markup("".join(p if isinstance(p, Markup) else html.escape(p) for p in pieces))


def _plain(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
