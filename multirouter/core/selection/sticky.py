"""Sticky strategy: the same provider for the same key, so that prompt caches stay warm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from multirouter.core import function_checks as hooks
from multirouter.core.selection.weighted import Choose, SelectionContext
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate

SLOTS = 1 << 14
"""Slots that keys are hashed to, and that are distributed among the providers. The ranking of a
slot is computed once, so a call costs the same among ten providers and a thousand. With a thousand
providers each has some sixteen slots; with ten, their shares are within 3 % of their weights'."""

REMEMBERED_RANKS = 8
"""Providers remembered for a slot, the best first. When all of them are unavailable, the other
candidates are ranked for each call."""


class Sticky:
    """Rendezvous hashing: each key ranks all providers and gets the first that is available.

    When a provider becomes unavailable, only its keys move, each to its own second choice; they
    return with the provider. Shares of keys follow the weights. Every process makes the same
    choice.

    Args:
        key: reads a request and returns what shall stay together (a user, a conversation, a
            system prompt) as str, bytes or int; None chooses by weight.

    Raises:
        ConfigurationError: `key` is no plain function of a request.

    Source: Thaler and Ravishankar 1998; weights by the logarithmic method of Schindelhauer and
    Schomaker 2005.
    """

    description = "sticky"

    def __init__(self, key: Callable[[Any], str | bytes | int | None]) -> None:
        if key is None:
            raise ConfigurationError("Sticky.key", "must be a function, got None")
        self._key: Callable[[Any], str | bytes | int | None] = hooks.plain_function(
            "Sticky.key", key, "request"
        )

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Returns the function that chooses for one tier; it remembers the slots' rankings."""
        rankings: dict[int, list[Candidate]] = {}
        weighted = [member for member in members if member.weight > 0]
        previous: Sequence[Candidate] = ()
        available: frozenset[Candidate] = frozenset()

        def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
            nonlocal previous, available
            key = self._key(context.request)
            if key is None:
                return context.rng.choices(candidates, [m.weight for m in candidates])[0]
            if candidates is not previous:
                previous, available = candidates, frozenset(candidates)
            slot = _slot(key)
            ranking = rankings.get(slot)
            if ranking is None:
                ranking = nlargest(REMEMBERED_RANKS, weighted, key=_score_in(slot))
                rankings[slot] = ranking
            for member in ranking:
                if member in available:
                    return member
            return max(candidates, key=_score_in(slot))

        return choose


def _slot(key: Any) -> int:
    if not isinstance(key, str | bytes | int):  # as text, it would differ from call to call
        hooks.dispose(key)
        raise TypeError(f"Sticky.key must return str, bytes, int or None, got {type(key).__name__}")
    data = key if isinstance(key, bytes) else str(key).encode()
    return int.from_bytes(blake2b(data, digest_size=4).digest()) % SLOTS


def _score_in(slot: int) -> Callable[[Candidate], float]:
    """Returns the function that scores members for a slot; the same in every process."""
    salt = slot.to_bytes(4)

    def score(member: Candidate) -> float:
        digest = blake2b(member.name.encode(), digest_size=7, salt=salt).digest()
        uniform = (int.from_bytes(digest) + 1) / 2**56  # above 0, up to 1
        return -member.weight / math.log(uniform) if uniform < 1.0 else math.inf

    return score
