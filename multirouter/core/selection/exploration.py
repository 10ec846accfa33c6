"""Choice of the best candidate by a score that only answers reveal, with a share for the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from multirouter.core.selection.weighted import SelectionContext

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate

SAMPLE_SIZE = 8
"""Candidates that are compared when there are more. That many random candidates contain one of the
best eighth in two of three cases, and cost the same among ten and a thousand.

Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001. Two would bring
nearly the whole gain; eight compare small tiers whole.
"""

EXPLORED_SHARE = 0.05
"""Share of the calls that go to a provider about as fast as the fastest one, shared among all
others. It falls with how much slower the provider was, to `MIN_EXPLORED` of it: what exploring adds
to the average latency is at most five percent until `MIN_EXPLORED` is reached."""

MIN_EXPLORED = 0.2
"""Lowest share of `EXPLORED_SHARE`: a provider that was a hundred times as slow is still explored,
in one of a hundred calls divided by the number of others."""

VERIFIED_SHARE = 0.3
"""The same share for a provider whose latest answer was faster than the fastest one's average: a
few such answers show whether that was an exception."""


def sample_of(candidates: Sequence[Candidate], context: SelectionContext) -> Sequence[Candidate]:
    """All candidates if there are at most `SAMPLE_SIZE`, else that many at random."""
    if len(candidates) <= SAMPLE_SIZE:
        return candidates
    count, random = len(candidates), context.rng.random
    return [candidates[int(random() * count)] for _ in range(SAMPLE_SIZE)]


class BestSoFar:
    """Chooses the candidate with the lowest score, and sometimes another one, to learn its score.

    Of more than `SAMPLE_SIZE` candidates it compares that many random ones and the best one of the
    choice before. Source: Mitzenmacher, Prabhakar, Shah, Load Balancing with Memory, 2002.
    """

    __slots__ = ("_best", "_members", "_names")

    def __init__(self) -> None:
        self._best: Candidate | None = None
        self._members: Sequence[Candidate] = ()
        self._names: frozenset[str] = frozenset()

    def sample(
        self, candidates: Sequence[Candidate], context: SelectionContext
    ) -> Sequence[Candidate]:
        """Returns the candidates to compare."""
        if len(candidates) <= SAMPLE_SIZE:
            return candidates
        sample = sample_of(candidates, context)
        if candidates is not self._members:
            self._members = candidates
            self._names = frozenset(member.name for member in candidates)
        best = self._best
        if best is not None and best.name in self._names and best not in sample:
            return [*sample, best]
        return sample

    def choose(
        self,
        sample: Sequence[Candidate],
        scores: Sequence[float],
        lasts: Sequence[float],
        context: SelectionContext,
    ) -> Candidate:
        """Returns the best of the sample, or another one to explore.

        Args:
            sample: the candidates to compare.
            scores: the score of each, at least 0; the lowest is the best.
            lasts: the score of each by its latest answer alone; infinite when nothing is to be
                learned from another one.
            context: has the random numbers.
        """
        lowest = min(scores)
        at = scores.index(lowest)
        best = self._best = sample[at]
        if len(sample) == 1:
            return best
        # One random number decides which of the others may be explored, and whether it is.
        number = context.rng.random() * (len(sample) - 1)
        other = int(number)
        fraction = number - other
        if other >= at:
            other += 1
        return sample[other] if fraction < _explored_share(lowest, lasts[other]) else best


def _explored_share(lowest: float, last: float) -> float:
    """Share of the calls in which a candidate is explored, 0 to 1, times the number of others.

    Args:
        lowest: the score of the best candidate.
        last: the candidate's score by its latest answer; infinite for none.
    """
    if last < lowest:
        return VERIFIED_SHARE
    if last == math.inf:
        return 0.0
    return EXPLORED_SHARE * max(MIN_EXPLORED, lowest / last) if last else EXPLORED_SHARE
