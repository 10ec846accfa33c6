"""Result of the translation of a client's request: the canonical request, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Translated(NamedTuple):
    """A request of a client as a canonical one.

    Attributes:
        request: the canonical request, with the gateway's own fields.
        losses: fields of the client's request that it lacks, for the header `X-Dropped-Fields`.
        only_native: those of them without which the answer would be to another request.
    """

    request: dict[str, Any]
    losses: Iterable[str] = ()
    only_native: Iterable[str] = ()
