"""Runs every policy in every world, in worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks.harness.progress import Progress
from benchmarks.outages.policy import PolicyMaker
from benchmarks.outages.schedule import Scenario
from benchmarks.outages.simulation import Run, run
from benchmarks.outages.world import World

MAX_WORKERS = 2
"""Maximum number of processes by default, so that a shared machine stays usable."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One policy in one world.

    Attributes:
        scenario: the scenario's name.
        policy: the policy's name.
        seed: the world's seed.
        world: the world.
        run: its result.
    """

    scenario: str
    policy: str
    seed: int
    world: World
    run: Run


def run_experiments(
    scenarios: Iterable[Scenario],
    policies: Mapping[str, PolicyMaker],
    seeds: Sequence[int],
    *,
    length_share: float,
    workers: int | None = None,
) -> list[Experiment]:
    """Runs every policy in the world of every scenario and seed."""
    jobs = [
        (scenario.name, policy, seed, scenario.world(seed, length_share))
        for scenario in scenarios
        for seed in seeds
        for policy in policies
    ]
    progress = Progress("outages", len(jobs))
    workers = min(MAX_WORKERS, os.cpu_count() or 1) if workers is None else workers
    if workers == 1:
        found = []
        for name, policy, seed, world in jobs:
            found.append(Experiment(name, policy, seed, world, run(world, policies[policy])))
            progress.step()
        return found
    with ProcessPoolExecutor(workers) as pool:
        under_way = [pool.submit(run, world, policies[policy]) for _, policy, _, world in jobs]
        for future in under_way:
            future.add_done_callback(lambda _: progress.step())
        return [
            Experiment(*job, future.result()) for job, future in zip(jobs, under_way, strict=True)
        ]
