"""Expected cost of a conversation at a provider, with the prompt that is cached there or is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multirouter.core.cost.prompt_caches import CachedPrompt, PromptCaches
from multirouter.core.selection.sticky import HORIZON, Sticky
from multirouter.model import Usage

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate


class CacheCosts:
    """Compares providers for the next calls of one conversation.

    Args:
        caches: what the providers hold.
        sticky: the strategy.
        key: the conversation.
        prompt: its latest prompt; the next ones are assumed to be as long.
        request: the request, for its model.
        now: loop time, seconds.
    """

    def __init__(
        self,
        caches: PromptCaches,
        sticky: Sticky,
        key: str | bytes | int,
        prompt: CachedPrompt,
        request: Any,
        now: float,
    ) -> None:
        self._caches = caches
        self._key = key
        self._usage = prompt.usage
        self._request = request
        self._since = now - sticky.cache_ttl

    def cheaper(self, current: Candidate, other: Candidate) -> bool:
        """Whether the next calls cost less at `other` than at `current`.

        Without prices of both, the tokens that are not cached are compared; equal ones count as
        cheaper.
        """
        costs = self._cost(current), self._cost(other)
        if costs[0] is None or costs[1] is None:
            return self._missing(other) <= self._missing(current)
        return costs[1] <= costs[0]

    def cheapest(self, current: Candidate, others: Sequence[Candidate]) -> Candidate:
        """The provider where the next calls cost least: `current` unless another costs less."""
        best, lowest = current, self._cost(current)
        for other in others if lowest is not None else ():
            cost = self._cost(other)
            if cost is not None and lowest is not None and cost < lowest:
                best, lowest = other, cost
        return best

    def _missing(self, member: Candidate) -> int:
        """Tokens of the prompt that the provider does not hold."""
        held = self._caches.tokens(self._key, member.key, self._since)
        return max(0, self._usage.input - held)

    def _cost(self, member: Candidate) -> float | None:
        """Cost of the next `HORIZON` calls, USD; None without a price."""
        pricing = member.pricing
        price = pricing.price_of(None, pricing.model_of(self._request))
        if price is None:
            return None
        total, output = self._usage.input, self._usage.output
        first = price.prompt_usage(total, output, total - self._missing(member))
        return price.of(first) + (HORIZON - 1) * price.of(Usage(total, output, total))
