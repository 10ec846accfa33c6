"""The same provider for the same key, as long as it can be asked: prompt caches stay warm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from multirouter.core.selection.weighted import Choose, SelectionContext
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate

PLACES = 1 << 14
"""Places that keys are hashed to, and that are given out among the providers: the ranking of a
place is worked out once, so that a call costs the same among ten providers and a thousand. With a
thousand each has some sixteen places, with ten their shares are within 3 % of their weights'."""

RANKS = 8
"""Providers that are remembered for a place, the best first: when all of them are out, the rest
is weighed anew."""


class Sticky:
    """Rendezvous hashing: each key ranks all providers, and goes to the first that can be asked.

    When one leaves, only its keys move, each to its own second choice; when it is back they are,
    too. Shares of keys follow the weights. Every process comes to the same choice.
    Source: Thaler and Ravishankar 1998; weights by the logarithmic method of Schindelhauer and
    Schomaker 2005.

    Args:
        key: reads a request and returns what shall stay together (a user, a conversation, a
            system prompt) as str, bytes or int; None draws by weight.
    """

    how = "sticky"

    def __init__(self, key: Callable[[Any], str | bytes | int | None]) -> None:
        if not callable(key):
            raise ConfigurationError("Sticky.key", f"must be a function, not {key!r}")
        self._key = key

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Begins a memory of the places' rankings for one tier."""
        ranked: dict[int, list[Candidate]] = {}
        everybody = [member for member in members if member.weight > 0]
        seen: Sequence[Candidate] = ()
        inside: frozenset[Candidate] = frozenset()

        def choose(candidates: Sequence[Candidate], asking: SelectionContext) -> Candidate:
            nonlocal seen, inside
            key = self._key(asking.request)
            if key is None:
                return asking.rng.choices(candidates, [m.weight for m in candidates])[0]
            if candidates is not seen:
                seen, inside = candidates, frozenset(candidates)
            place = _place_of(key)
            ranking = ranked.get(place)
            if ranking is None:
                ranking = nlargest(RANKS, everybody, key=_appeal(place))
                ranked[place] = ranking
            for member in ranking:
                if member in inside:
                    return member
            return max(candidates, key=_appeal(place))

        return choose


def _place_of(key: str | bytes | int) -> int:
    data = key if isinstance(key, bytes) else str(key).encode()
    return int.from_bytes(blake2b(data, digest_size=4).digest()) % PLACES


def _appeal(place: int) -> Callable[[Candidate], float]:
    """How well each member suits a place; evenly distributed, and the same in every process."""
    salt = place.to_bytes(4)

    def appeal(member: Candidate) -> float:
        digest = blake2b(member.name.encode(), digest_size=7, salt=salt).digest()
        evenly = (int.from_bytes(digest) + 1) / 2**56  # above 0, up to 1
        return -member.weight / math.log(evenly) if evenly < 1.0 else math.inf

    return appeal
