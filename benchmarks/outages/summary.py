"""Figures of several seeds as medians and ranges, and ours held against the aims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.outages.contest import Trial
from benchmarks.outages.contestants import HEDGED, ORACLE, OURS, PROBED
from benchmarks.outages.measures import BACK_WITHIN, figures

RATIOS = ("p99", "p99.9")


@dataclass(frozen=True, slots=True)
class Aim:
    """One thing that is held against a bound.

    Attributes:
        policy: whose.
        figure: which figure.
        most: the greatest value that reaches the aim.
        words: what is asked.
    """

    policy: str
    figure: str
    most: float
    words: str


AIMS = (
    Aim(OURS, "errors", 0, "no error seen by a caller"),
    Aim(OURS, "p99_of_oracle", 1.1, "p99 over the oracle's"),
    Aim(OURS, "p99.9_of_oracle", 1.5, "p99.9 over the oracle's"),
    Aim(OURS, "attempts_per_call", 1.02, "attempts per call"),
    Aim(OURS, "back_max", BACK_WITHIN, "longest way back after a recovery, s"),
    Aim(HEDGED, "errors", 0, "no error seen by a caller"),
    Aim(HEDGED, "p99.9_of_oracle", 1.0, "p99.9 over the oracle's"),
    Aim(HEDGED, "attempts_per_call", 1.05, "attempts per call"),
    Aim(HEDGED, "back_max", BACK_WITHIN, "longest way back after a recovery, s"),
    Aim(PROBED, "errors", 0, "no error seen by a caller"),
    Aim(PROBED, "p99_of_oracle", 1.1, "p99 over the oracle's"),
    Aim(PROBED, "p99.9_of_oracle", 1.5, "p99.9 over the oracle's"),
    Aim(PROBED, "attempts_per_call", 1.02, "attempts per call"),
    Aim(PROBED, "back_max", BACK_WITHIN, "longest way back after a recovery, s"),
)


def summarized(trials: Sequence[Trial]) -> dict[str, Any]:
    """One scenario's trials: every policy's figures by seed, their medians and ranges, the aims."""
    seeds = sorted({trial.seed for trial in trials})
    by_policy: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        by_policy.setdefault(trial.policy, []).append(figures(trial.world, trial.run))
    for found in by_policy.values():
        for mine, limit in zip(found, by_policy[ORACLE], strict=True):
            mine.update({f"{name}_of_oracle": mine[name] / limit[name] for name in RATIOS})
    policies = {
        name: {"seeds": found, "over_seeds": _over_seeds(found)}
        for name, found in by_policy.items()
    }
    return {
        "seeds": seeds,
        "outages": [len(_of(trials, seed).world.incidents) for seed in seeds],
        "policies": policies,
        "aims": _held(policies),
    }


def _of(trials: Sequence[Trial], seed: int) -> Trial:
    return next(trial for trial in trials if trial.seed == seed)


def _over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each figure's median, least and most."""
    whole: dict[str, Any] = {}
    for name, value in found[0].items():
        values = [figure[name] for figure in found]
        whole[name] = (
            _over_seeds(values)
            if isinstance(value, Mapping)
            else {"median": median(values), "least": min(values), "most": max(values)}
        )
    return whole


def _held(policies: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each aim with the figure's median, range, and whether the median reaches it."""
    rows = []
    for aim in AIMS:
        if aim.policy in policies:
            figure = policies[aim.policy]["over_seeds"][aim.figure]
            rows.append(
                {
                    "policy": aim.policy,
                    "aim": aim.words,
                    "at_most": aim.most,
                    **figure,
                    "reached": figure["median"] <= aim.most,
                    "reached_by_all_seeds": figure["most"] <= aim.most,
                }
            )
    return rows
