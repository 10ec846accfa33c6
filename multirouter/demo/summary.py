"""Summary of a demo run, as text and as data."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from multirouter.demo.counters import Counters
from multirouter.demo.metrics_endpoint import Scrape
from multirouter.demo.provider_rows import ProviderRow, milliseconds
from multirouter.demo.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a demo run.

    Attributes:
        scenario: the settings.
        elapsed: seconds from the first call to the end of the last.
        interrupted: whether it was stopped before all calls were made.
        counters: the counters.
        provider_rows: the state of each provider at the end.
        metrics_url: URL of the metrics endpoint.
        scrape: result of a scrape of that endpoint at the end.
    """

    scenario: Scenario
    elapsed: float
    interrupted: bool
    counters: Counters
    provider_rows: list[ProviderRow]
    metrics_url: str
    scrape: Scrape

    @property
    def errors(self) -> int:
        """Number of calls whose caller saw an error."""
        return self.counters.errors.total()

    def percentiles(self) -> dict[str, float | None]:
        """p50, p95 and p99 of the duration of calls, seconds; None with fewer than 2 calls."""
        if len(self.counters.durations) < 2:
            return dict.fromkeys(("p50", "p95", "p99"))
        cuts = quantiles(self.counters.durations, n=100, method="inclusive")
        return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}

    # -- as data ----------------------------------------------------------------------------

    def as_data(self) -> dict[str, Any]:
        """The summary as plain data for `json.dumps`; durations are in seconds."""
        counters = self.counters
        return {
            "calls": counters.calls,
            "calls_requested": self.scenario.calls,
            "interrupted": self.interrupted,
            "elapsed": self.elapsed,
            "errors": self.errors,
            "error_messages": dict(counters.errors),
            "failed_attempts": counters.failures.total(),
            "calls_failed_over": len(counters.failover_durations),
            "latency": self.percentiles(),
            "providers": {row.provider: self._provider(row) for row in self.provider_rows},
            "events": [event.as_data() for event in counters.events],
            "metrics": {"url": self.metrics_url, **asdict(self.scrape)},
            "settings": asdict(self.scenario),
        }

    def _provider(self, row: ProviderRow) -> dict[str, Any]:
        return asdict(row) | {"failures": dict(self._failures(row.provider))}

    def _failures(self, provider: str) -> Counter[str]:
        failures = self.counters.failures.items()
        return Counter({kind: n for (name, kind), n in failures if name == provider})

    # -- as text ----------------------------------------------------------------------------

    def as_text(self) -> str:
        """The summary as text of about 25 lines."""
        paragraphs = (self._totals(), self._providers(), self._events(), self._endpoint())
        return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)

    def _totals(self) -> list[str]:
        counters, requested = self.counters, self.scenario.calls
        done = f"{counters.calls} calls"
        if self.interrupted:
            done = f"Stopped after {counters.calls} of {requested} calls"
        rate = counters.calls / self.elapsed if self.elapsed else 0.0
        percentiles = [
            f"{name} {milliseconds(value)}" for name, value in self.percentiles().items()
        ]
        lines = [
            f"{done} in {self.elapsed:.1f} s ({rate:.0f} per second)",
            f"  errors seen by callers  {self.errors}",
            f"  failed attempts         {counters.failures.total()}",
            f"  calls that failed over  {len(counters.failover_durations)}{self._slowest()}",
            f"  duration of calls       {', '.join(percentiles)}",
        ]
        errors = counters.errors.items()
        return lines + [f"  error seen by callers, {n} times: {text}" for text, n in errors]

    def _slowest(self) -> str:
        durations = self.counters.failover_durations
        return f", the slowest took {milliseconds(max(durations))}" if durations else ""

    def _providers(self) -> list[str]:
        total = sum(row.answered for row in self.provider_rows) or 1
        lines = ["provider  answered  share     p50     p99  failed attempts"]
        for row in self.provider_rows:
            kinds = self._failures(row.provider).most_common()
            by_kind = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in kinds)
            share = f"{row.answered / total:.0%}"
            latency = f"{milliseconds(row.p50):>6}  {milliseconds(row.p99):>6}"
            failed = f"{row.failed_attempts} ({by_kind})" if by_kind else "0"
            lines.append(f"{row.provider:8}  {row.answered:8}  {share:>5}  {latency}  {failed}")
        return lines

    def _events(self) -> list[str]:
        events = self.counters.events
        if not events:
            return []
        return ["Events", *map(str, events), *self._open_circuits()]

    def _open_circuits(self) -> list[str]:
        """A note about circuits that are still open when the last call has ended."""
        names = [row.provider for row in self.provider_rows if row.state != "closed"]
        if self.interrupted or not names:
            return []
        end = f"The last call ended at {self.elapsed:.1f} s, before the circuit of "
        return [f"{end}{' and '.join(names)} closed; use more --calls or a shorter --outage."]

    def _endpoint(self) -> list[str]:
        scrape = self.scrape
        return [
            f"Metrics at {self.metrics_url} at the end:",
            f'  multirouter_calls_total{{outcome="success"}}     {scrape.answered}',
            f'  multirouter_attempts_total{{outcome="failure"}}  {scrape.failed_attempts}',
        ]
