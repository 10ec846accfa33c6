"""How much of an agent's prompts is read from caches, and what does it cost, when providers fail?

Agent sessions over three providers with outages, in virtual time. Each provider keeps a session's
prompt for five minutes after its last use. The oracle knows all outages beforehand and chooses, for
each session as a whole, the providers that read most from caches (or cost least). Seeded: the
figures are the same in every run.
"""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from prometheus_client import CollectorRegistry

from benchmarks.harness import report
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import table
from multirouter import (
    MultiProviderRouter,
    MultirouterError,
    Price,
    Provider,
    ProviderError,
    Route,
    Sticky,
    Usage,
)
from multirouter.testing import VirtualLoop

logger = logging.getLogger("benchmarks.cache")
logger.setLevel(logging.CRITICAL)

SESSIONS = 200
HOURS = 8.0
TTL = 300.0

PRICES: Mapping[str, Price] = {
    "first": Price(3.0, 15.0, cached_input=0.30, cache_write=3.75),
    "second": Price(1.25, 10.0, cached_input=0.125),
    "third": Price(2.0, 12.0, cached_input=0.20),
}
"""USD per million tokens, as three vendors' models for coding cost in 2026."""

UP, DOWN = 3600.0, 240.0
"""Mean seconds between outages of one provider, and of an outage."""

STRATEGIES: Mapping[str, Any] = {
    "weighted": None,
    "sticky, returns at_once": Sticky(returns="at_once"),
    "sticky, returns when_idle": Sticky(returns="when_idle"),
    "sticky (default)": Sticky(),
    "sticky, leaves when_cheaper": Sticky(leaves="when_cheaper"),
}


@dataclass(frozen=True)
class Turn:
    """One request of a session.

    Attributes:
        at: when it is sent, seconds.
        tokens: tokens of its prompt, which begins with the whole prompt of the turn before.
        output: tokens of the answer.
        seconds: how long the answer takes.
    """

    at: float
    tokens: int
    output: int
    seconds: float


def session(rng: Random, length: float) -> list[Turn]:
    """An agent's session: most turns follow at once, some after a pause of the user."""
    at, tokens, turns = rng.uniform(0.0, length), rng.randint(15_000, 40_000), []
    for _ in range(rng.randint(15, 80)):
        seconds, output = rng.uniform(1.0, 6.0), rng.randint(100, 900)
        turns.append(Turn(at, tokens, output, seconds))
        pause = rng.expovariate(1 / 120.0) if rng.random() < 0.1 else rng.expovariate(1 / 4.0)
        at += seconds + 8.0 + pause  # eight seconds in which a failover still ends
        tokens += output + rng.randint(200, 4_000)
    return turns


def outages(rng: Random, length: float) -> list[float]:
    """The times at which a provider goes down, comes up, goes down, ... in order."""
    times, at = [], 0.0
    while at < length:
        at += rng.expovariate(1 / UP)
        times.append(at)
        at += max(20.0, rng.expovariate(1 / DOWN))
        times.append(at)
    return times


def is_up(times: Sequence[float], at: float) -> bool:
    """Whether a provider answers at a time."""
    return bisect_right(times, at) % 2 == 0


@dataclass
class World:
    """Sessions and outages of one seed."""

    seed: int
    sessions: int
    hours: float
    turns: list[list[Turn]] = field(init=False)
    outages: dict[str, list[float]] = field(init=False)

    def __post_init__(self) -> None:
        length = self.hours * 3600.0
        rng = Random(f"sessions {self.seed}")
        self.turns = [session(rng, length) for _ in range(self.sessions)]
        self.outages = {
            name: outages(Random(f"{name} {self.seed}"), length + 7200.0) for name in PRICES
        }


@dataclass
class Totals:
    """What a policy took.

    Attributes:
        prompt: input tokens of the attempts that were answered.
        cached: those of them that were read from a cache.
        usd: cost of all attempts, trials included.
        failed: calls without an answer.
    """

    prompt: int = 0
    cached: int = 0
    usd: float = 0.0
    failed: int = 0

    @property
    def share(self) -> float:
        """Share of the prompts' tokens that were read from a cache."""
        return self.cached / self.prompt if self.prompt else 0.0


class CachingProvider:
    """A provider with a prompt cache, and outages in which it answers 529 at once."""

    def __init__(self, name: str, world: World, totals: Totals) -> None:
        self._name = name
        self._outages = world.outages[name]
        self._totals = totals
        self._cache: dict[int, tuple[int, float]] = {}

    async def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answers with the usage of the request."""
        clock = asyncio.get_running_loop().time
        turn: Turn = request["turn"]
        if not is_up(self._outages, clock()):
            await asyncio.sleep(0.05)
            raise ProviderError("overloaded", status=529)
        tokens, used = self._cache.get(request["session"], (0, -math.inf))
        cached = min(tokens, turn.tokens) if clock() - used <= TTL else 0
        await asyncio.sleep(turn.seconds)
        self._cache[request["session"]] = turn.tokens, clock()
        price = PRICES[self._name]
        usage = price.prompt_usage(turn.tokens, turn.output, cached)
        self._totals.usd += price.of(usage)
        self._totals.prompt += turn.tokens
        self._totals.cached += cached
        return {"usage": usage}


def simulate(world: World, strategy: Any) -> Totals:
    """Runs all sessions through a router."""
    totals = Totals()

    async def run_session(router: Any, number: int) -> None:
        for turn in world.turns[number]:
            delay = turn.at - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, delay))
            request = {"session": number, "turn": turn, "prompt_cache_key": f"session {number}"}
            try:
                await router.call(request)
            except MultirouterError:
                totals.failed += 1

    async def main() -> None:
        providers = [
            Provider(
                name,
                CachingProvider(name, world, totals),
                price=price,
                usage=lambda answer: Usage(*answer["usage"]),
            )
            for name, price in PRICES.items()
        ]
        route = Route("default", [list(PRICES)], strategy=strategy)
        async with (
            MultiProviderRouter(
                providers,
                routes=[route],
                registry=CollectorRegistry(),
                rng=Random(world.seed),
                logger=logger,
            ) as router,
            asyncio.TaskGroup() as group,
        ):
            for number in range(world.sessions):
                group.create_task(run_session(router, number))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    return totals


Held = tuple[tuple[int, float], ...]
"""For each provider: tokens of the session's prompt that it holds, and when it was used last."""


def oracle(world: World, *, by_cost: bool) -> Totals:
    """The best choice of providers for each session, with the outages known beforehand."""
    totals = Totals()
    for turns in world.turns:
        best = _best(turns, world, by_cost=by_cost)
        totals.prompt += sum(turn.tokens for turn in turns)
        totals.cached += best.cached
        totals.usd += best.usd
    return totals


def _best(turns: Sequence[Turn], world: World, *, by_cost: bool) -> Totals:
    """Searches all choices of one session; of equal states the better one is kept."""
    nothing: Held = ((0, -math.inf),) * len(PRICES)
    states: dict[Held, Totals] = {nothing: Totals()}
    for turn in turns:
        following: dict[Held, Totals] = {}
        for held, so_far in states.items():
            for key, found in _choices(turn, held, so_far, world):
                known = following.get(key)
                if known is None or _rank(found, by_cost) > _rank(known, by_cost):
                    following[key] = found
        states = following
    return max(states.values(), key=lambda found: _rank(found, by_cost))


def _choices(turn: Turn, held: Held, so_far: Totals, world: World) -> Iterator[tuple[Held, Totals]]:
    """The states after one turn, for each provider that answers then."""
    at = turn.at
    fresh = tuple((n, used) if at - used <= TTL else (0, -math.inf) for n, used in held)
    up = [place for place, name in enumerate(PRICES) if is_up(world.outages[name], at)]
    for place in up or range(len(PRICES)):
        price = list(PRICES.values())[place]
        cached = min(fresh[place][0], turn.tokens)
        usage = price.prompt_usage(turn.tokens, turn.output, cached)
        after = (*fresh[:place], (turn.tokens, at + turn.seconds), *fresh[place + 1 :])
        cost = so_far.usd + price.of(usage)
        yield after, Totals(cached=so_far.cached + cached, usd=cost)


def _rank(found: Totals, by_cost: bool) -> float:  # noqa: FBT001 - handed on
    return -found.usd if by_cost else found.cached


def measured(seeds: Sequence[int], sessions: int, hours: float) -> list[dict[str, Any]]:
    """All policies over all seeds."""
    progress = Progress("cache", len(seeds) * (len(STRATEGIES) + 2))
    rows = []
    for seed in seeds:
        world = World(seed, sessions, hours)
        found = {}
        for name, by_cost in (("oracle", False), ("oracle of cost", True)):
            found[name] = oracle(world, by_cost=by_cost)
            progress.step()
        for name, strategy in STRATEGIES.items():
            found[name] = simulate(world, strategy)
            progress.step()
        rows += [
            {
                "seed": seed,
                "policy": name,
                "share": totals.share,
                "of_oracle": totals.share / found["oracle"].share,
                "usd": totals.usd,
                "failed": totals.failed,
            }
            for name, totals in found.items()
        ]
    return rows


def text(result: Mapping[str, Any]) -> str:
    """The result as a table: means over the seeds."""
    rows = []
    for name in ("oracle", "oracle of cost", *STRATEGIES):
        own = [row for row in result["rows"] if row["policy"] == name]
        lowest = min(row["of_oracle"] for row in own)
        means = {key: sum(row[key] for row in own) / len(own) for key in ("share", "usd", "failed")}
        rows.append(
            (
                name,
                f"{means['share']:.1%}",
                f"{lowest:.1%}",
                f"{means['usd']:,.0f}",
                f"{means['failed']:.1f}",
            )
        )
    head = ("policy", "read from caches", "of the oracle, lowest", "USD", "failed calls")
    return table(head, rows)


def main(argv: list[str]) -> int:
    """Runs the benchmark; see `--help`."""
    parser = report.parser("cache", __doc__ or "")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (3)")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help=f"sessions ({SESSIONS})")
    options = parser.parse_args(argv)
    sessions, hours = (6, 0.5) if options.quick else (options.sessions, HOURS)
    rows = measured(range(1, 1 + (1 if options.quick else options.seeds)), sessions, hours)
    result = {"sessions": sessions, "hours": hours, "rows": rows}
    report.show("cache", result, lambda: text(result), as_json=options.json)
    return 0
