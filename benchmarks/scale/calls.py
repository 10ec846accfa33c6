"""The cost of a healthy call with 1,000 providers, beside one with 3."""

from __future__ import annotations

from contextlib import AsyncExitStack

from benchmarks.harness.progress import Progress
from benchmarks.harness.rounds import interleave, microseconds, over, ratio
from benchmarks.overhead import contestants

FEW, MANY = 3, 1_000


async def measured(divisor: int) -> dict[str, float]:
    """Microseconds of a call beyond its coroutine, and the ratios, each within one round."""
    many, rounds = MANY // divisor, max(2, 30 // divisor)
    async with AsyncExitStack() as alive:
        timed = await contestants.healthy((FEW, many), alive, warmed_up=divisor == 1)
        ours = [f"router, {size:,} providers" for size in (FEW, many)]
        floors = ["floor", f"floor, {many:,} providers"]
        chosen = {name: timed[name] for name in ("bare", *floors, *ours)}
        progress = Progress("calls", rounds)
        block = 0.01 / divisor
        times = await interleave(chosen, rounds=rounds, block=block, progress=progress)
    few, large = (over(times, name, "bare") for name in ours)
    floor, large_floor = (over(times, name, "bare") for name in floors)
    return {
        "us_with_few_providers": microseconds(few),
        "us_with_many_providers": microseconds(large),
        "many_to_few": ratio(large, few)["median"],
        "many_to_few_of_the_floor": ratio(large_floor, floor)["median"],
    }
