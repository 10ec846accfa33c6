"""Sticky strategy: the same provider for the same key, so that prompt caches stay warm."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Literal, get_args

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.selection.conversation_key import conversation_key
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


Returns = Literal["when_cheaper", "when_idle", "at_once"]
"""When a conversation returns from the provider that it failed over to; see `Sticky`."""

Leaves = Literal["on_failure", "when_cheaper"]
"""When a conversation leaves a provider that is available; see `Sticky`."""

RETURNS: tuple[Returns, ...] = get_args(Returns)
LEAVES: tuple[Leaves, ...] = get_args(Leaves)

CACHE_TTL = 300.0
"""Seconds for which a provider keeps an unused prompt.

Source: Anthropic's prompt caching (5 minutes, prolonged by each use); OpenAI's (5 to 10 minutes).
"""

MAX_KEY = 200
"""Characters or bytes of a key that are kept as they are."""

HORIZON = 10
"""Calls over which costs are compared before a conversation moves: an agent's turn makes about as
many, and the cache that is lost counts once, while the prices count in each call."""


class Sticky:
    """Rendezvous hashing: each key ranks all providers and gets the first that is available.

    When a provider becomes unavailable, only its keys move, each to its own second choice.
    Shares of keys follow the weights. Every process makes the same choice.

    A provider caches the prompt of a conversation, and reads it again at a tenth to a half of the
    price. So a conversation that has moved does not return at any time: while the provider
    that answered last holds its prompt, `returns` decides. It applies to all tiers of a route,
    and needs answers that report their usage; without that, conversations return at once. A
    provider that fails, is at its limit or degraded is left in any case.

    Args:
        key: reads a request and returns what shall stay together (a user, a conversation, a
            system prompt) as str, bytes or int; None chooses by weight. The default finds the
            conversation; see `conversation_key`.
        returns: `when_cheaper`: when the next `HORIZON` calls cost less at its own provider,
            including the prompt that is not cached there. Without prices of both, the tokens that
            are not cached are compared. `when_idle`: after `cache_ttl` without a call.
            `at_once`: when its own provider is available again.
        leaves: `on_failure`: a conversation stays at its provider while that is available.
            `when_cheaper`: it also moves to another provider of the same tier where the next
            `HORIZON` calls cost less; both must have prices.
        cache_ttl: seconds for which providers keep an unused prompt, above 0.

    Attributes:
        returns: the same.
        leaves: the same.
        cache_ttl: the same.

    Raises:
        ConfigurationError: `key` is no plain function of a request, or a value is invalid.

    Source: Thaler and Ravishankar 1998; weights by the logarithmic method of Schindelhauer and
    Schomaker 2005.
    """

    description = "sticky"

    def __init__(
        self,
        key: Callable[[Any], str | bytes | int | None] = conversation_key,
        *,
        returns: Returns = "when_cheaper",
        leaves: Leaves = "on_failure",
        cache_ttl: float = CACHE_TTL,
    ) -> None:
        if key is None:
            raise ConfigurationError("Sticky.key", "must be a function, got None")
        self._key: Callable[[Any], str | bytes | int | None] = hooks.plain_function(
            "Sticky.key", key, "request"
        )
        check.one_of("Sticky.returns", returns, RETURNS)
        check.one_of("Sticky.leaves", leaves, LEAVES)
        self.returns: Returns = returns
        self.leaves: Leaves = leaves
        self.cache_ttl: float = check.duration("Sticky.cache_ttl", cache_ttl)

    def key_of(self, request: Any) -> str | bytes | int | None:
        """The key of a request; None for one that is chosen by weight.

        A key that is longer than `MAX_KEY` is hashed: it is remembered after its request has ended.

        Raises:
            TypeError: the function returned another type.
        """
        key: Any = self._key(request)
        if isinstance(key, str | bytes) and len(key) > MAX_KEY:
            data = key if isinstance(key, bytes) else key.encode(errors="surrogatepass")
            return blake2b(data, digest_size=16).digest()
        if key is None or isinstance(key, str | bytes | int):
            return key
        hooks.dispose(key)
        raise TypeError(f"Sticky.key must return str, bytes, int or None, got {type(key).__name__}")

    def prepare(self, members: Sequence[Candidate]) -> Choose:
        """Returns the function that chooses for one tier; it remembers the slots' rankings."""
        rankings: dict[int, list[Candidate]] = {}
        weighted = [member for member in members if member.weight > 0]
        previous: Sequence[Candidate] = ()
        available: frozenset[Candidate] = frozenset()

        def choose(candidates: Sequence[Candidate], context: SelectionContext) -> Candidate:
            nonlocal previous, available
            key = self.key_of(context.request)
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


def _slot(key: str | bytes | int) -> int:
    data = key if isinstance(key, bytes) else str(key).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=4).digest()) % SLOTS


def _score_in(slot: int) -> Callable[[Candidate], float]:
    """Returns the function that scores members for a slot; the same in every process."""
    salt = slot.to_bytes(4)

    def score(member: Candidate) -> float:
        digest = blake2b(member.name.encode(), digest_size=7, salt=salt).digest()
        uniform = (int.from_bytes(digest) + 1) / 2**56  # above 0, up to 1
        return -member.weight / math.log(uniform) if uniform < 1.0 else math.inf

    return score
