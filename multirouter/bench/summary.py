"""What a run of `multirouter bench` measured, as figures, a table and JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multirouter.bench.load import Sample

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of a run.

    Attributes:
        seconds: duration, until the last request ended.
        requests: number of requests that ended.
        answered: those with an answer.
        per_second: answers per second.
        latency: seconds of answered requests by `p50`, `p90`, `p99` and `max`; empty without any.
        first_chunk: likewise to the first chunk of streams.
        own: likewise outside of any attempt: choosing, backoffs and queues; empty when not known.
        own_share: the part of all latencies that is `own`, 0 to 1; None when it is not known.
        failovers: attempts at another provider after one failed.
        providers: answers by provider.
        errors: requests without an answer by error.
        messages: the first message of each error that has one.
        processor: processor time of this process a request, seconds, with its HTTP client; None for
            a gateway, whose process is another.
    """

    seconds: float
    requests: int
    answered: int
    per_second: float
    latency: Mapping[str, float]
    first_chunk: Mapping[str, float]
    own: Mapping[str, float]
    own_share: float | None
    failovers: int
    providers: Mapping[str, int]
    errors: Mapping[str, int] = field(default_factory=dict[str, int])
    messages: Mapping[str, str] = field(default_factory=dict[str, str])
    processor: float | None = None


def summarize(samples: Sequence[Sample], seconds: float, processor: float | None = None) -> Summary:
    """The figures of a run.

    Args:
        samples: all requests.
        seconds: duration of the run, above 0.
        processor: processor time that the run took; None when it is not that of the target.
    """
    answered = [sample for sample in samples if not sample.sent.error]
    own = [
        (max(0.0, sample.elapsed - sample.sent.at_providers), sample.elapsed)
        for sample in samples
        if sample.sent.at_providers is not None
    ]
    total = math.fsum(elapsed for _, elapsed in own)
    return Summary(
        seconds=seconds,
        requests=len(samples),
        answered=len(answered),
        per_second=len(answered) / seconds,
        latency=percentiles([sample.elapsed for sample in answered]),
        first_chunk=percentiles([s.sent.first for s in answered if s.sent.first is not None]),
        own=percentiles([outside for outside, _ in own]),
        own_share=math.fsum(outside for outside, _ in own) / total if total else None,
        failovers=sum(sample.sent.failovers for sample in samples),
        providers=dict(Counter(s.sent.provider for s in answered if s.sent.provider).most_common()),
        errors=dict(Counter(s.sent.error for s in samples if s.sent.error).most_common()),
        messages={s.sent.error: s.sent.message for s in reversed(samples) if s.sent.message},
        processor=processor / len(samples) if processor is not None and samples else None,
    )


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The percentiles of `SHARES` by nearest rank; empty without values."""
    ranked = sorted(values)
    return {
        name: ranked[max(1, math.ceil(share * len(ranked))) - 1]
        for name, share in SHARES.items()
        if ranked
    }


def as_text(summary: Summary) -> str:
    """The figures as a table for a terminal."""
    lines = [
        f"{summary.requests:,} requests in {summary.seconds:.1f} s",
        f"{summary.answered:,} answered, {summary.per_second:,.1f} per second",
        f"{summary.failovers:,} failovers",
        "",
        f"{'seconds':24}" + "".join(f"{name:>10}" for name in SHARES),
    ]
    rows = {
        "latency": summary.latency,
        "first chunk": summary.first_chunk,
        "router's own": summary.own,
    }
    lines += [
        f"{name:24}" + "".join(f"{figures[share]:10.4f}" for share in SHARES)
        for name, figures in rows.items()
        if figures
    ]
    lines.append("")
    if summary.own_share is None:
        lines.append("router's own: not known, it was not reported")
    else:
        lines.append(
            f"router's own: {summary.own_share:.2%} of the time of all requests (choice, backoffs "
            "and queues); the rest was spent at providers"
        )
    if summary.processor is not None:
        lines.append(f"processor time of this process a request: {1e6 * summary.processor:,.0f} us")
    for what, found in (("answers", summary.providers), ("errors", summary.errors)):
        if found:
            width = max(map(len, found))
            lines += ["", what, *(f"  {name:{width}}  {n:>9,}" for name, n in found.items())]
    if summary.messages:
        lines += ["", "the first of each error"]
        lines += [f"  {name}: {message}" for name, message in summary.messages.items()]
    return "\n".join([*lines, ""])


def as_json(summary: Summary) -> dict[str, Any]:
    """The figures as JSON data; times in seconds."""
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name in Summary.__slots__
        for value in (getattr(summary, name),)
    }
