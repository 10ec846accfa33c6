"""Figures of several seeds as medians and ranges, and the comparison with the aims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.outages.contestants import HEALTH_CHECKED, HEDGED, ORACLE, OURS
from benchmarks.outages.experiments import Experiment
from benchmarks.outages.measures import BACK_WITHIN, figures

RATIOS = ("p99", "p99.9")


@dataclass(frozen=True, slots=True)
class Aim:
    """One figure with a bound.

    Attributes:
        policy: the policy's name.
        figure: the figure's name.
        maximum: the largest value that reaches the aim.
        description: what the figure is.
    """

    policy: str
    figure: str
    maximum: float
    description: str


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
    Aim(HEALTH_CHECKED, "errors", 0, "no error seen by a caller"),
    Aim(HEALTH_CHECKED, "p99_of_oracle", 1.1, "p99 over the oracle's"),
    Aim(HEALTH_CHECKED, "p99.9_of_oracle", 1.5, "p99.9 over the oracle's"),
    Aim(HEALTH_CHECKED, "attempts_per_call", 1.02, "attempts per call"),
    Aim(HEALTH_CHECKED, "back_max", BACK_WITHIN, "longest way back after a recovery, s"),
)


def summarize(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """One scenario's experiments: every policy's figures by seed, medians, ranges, and the aims."""
    seeds = sorted({experiment.seed for experiment in experiments})
    by_policy: dict[str, list[dict[str, Any]]] = {}
    for experiment in experiments:
        by_policy.setdefault(experiment.policy, []).append(
            figures(experiment.world, experiment.run)
        )
    for found in by_policy.values():
        for mine, limit in zip(found, by_policy[ORACLE], strict=True):
            mine.update({f"{name}_of_oracle": mine[name] / limit[name] for name in RATIOS})
    policies = {
        name: {"seeds": found, "over_seeds": _over_seeds(found)}
        for name, found in by_policy.items()
    }
    return {
        "seeds": seeds,
        "outages": [len(_of(experiments, seed).world.incidents) for seed in seeds],
        "policies": policies,
        "aims": _check_aims(policies),
    }


def _of(experiments: Sequence[Experiment], seed: int) -> Experiment:
    return next(experiment for experiment in experiments if experiment.seed == seed)


def _over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median, minimum and maximum of each figure."""
    whole: dict[str, Any] = {}
    for name, value in found[0].items():
        values = [figure[name] for figure in found]
        whole[name] = (
            _over_seeds(values)
            if isinstance(value, Mapping)
            else {"median": median(values), "min": min(values), "max": max(values)}
        )
    return whole


def _check_aims(policies: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each aim with the figure's median, range, and whether the median reaches it."""
    rows = []
    for aim in AIMS:
        if aim.policy in policies:
            figure = policies[aim.policy]["over_seeds"][aim.figure]
            rows.append(
                {
                    "policy": aim.policy,
                    "aim": aim.description,
                    "at_most": aim.maximum,
                    **figure,
                    "reached": figure["median"] <= aim.maximum,
                    "reached_by_all_seeds": figure["max"] <= aim.maximum,
                }
            )
    return rows
