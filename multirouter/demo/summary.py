"""What the demo has shown, once it is over: as text for people, as data for machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from statistics import quantiles
from typing import Any

from multirouter.demo.counters import Moment, Tally
from multirouter.demo.metrics_endpoint import Scrape
from multirouter.demo.provider_rows import Standing, milliseconds
from multirouter.demo.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo, told at its end.

    Attributes:
        scenario: its settings.
        elapsed: seconds from the first call to the last.
        interrupted: whether it was stopped before all calls were made.
        tally: what was counted.
        standings: where each provider stood at the end.
        metrics_url: where `/metrics` was served.
        scrape: what that endpoint said at the end.
    """

    scenario: Scenario
    elapsed: float
    interrupted: bool
    tally: Tally
    standings: list[Standing]
    metrics_url: str
    scrape: Scrape

    @property
    def errors(self) -> int:
        """Calls whose caller got an error instead of an answer."""
        return self.tally.errors.total()

    def percentiles(self) -> dict[str, float | None]:
        """p50, p95 and p99 of whole calls, seconds; None where there are too few calls."""
        if len(self.tally.durations) < 2:
            return dict.fromkeys(("p50", "p95", "p99"))
        cuts = quantiles(self.tally.durations, n=100, method="inclusive")
        return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}

    # -- for machines -----------------------------------------------------------------------

    def as_data(self) -> dict[str, Any]:
        """Everything as plain data that `json.dumps` takes; durations are in seconds."""
        tally = self.tally
        return {
            "calls": tally.calls,
            "calls_asked_for": self.scenario.calls,
            "interrupted": self.interrupted,
            "elapsed": self.elapsed,
            "errors": self.errors,
            "error_messages": dict(tally.errors),
            "failures_caught": tally.caught.total(),
            "calls_failed_over": len(tally.moved_on),
            "latency": self.percentiles(),
            "providers": {row.provider: self._provider(row) for row in self.standings},
            "history": [moment.as_data() for moment in tally.history],
            "metrics": {"url": self.metrics_url, **asdict(self.scrape)},
            "settings": asdict(self.scenario),
        }

    def _provider(self, row: Standing) -> dict[str, Any]:
        return asdict(row) | {"caught": dict(self._caught(row.provider))}

    def _caught(self, provider: str) -> Counter[str]:
        caught = self.tally.caught.items()
        return Counter({kind: n for (name, kind), n in caught if name == provider})

    # -- for people -------------------------------------------------------------------------

    def as_text(self) -> str:
        """The summary in a screenful of lines."""
        paragraphs = (self._totals(), self._providers(), self._history(), self._endpoint())
        return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)

    def _totals(self) -> list[str]:
        tally, asked = self.tally, self.scenario.calls
        stopped = f"Stopped after {tally.calls} of {asked} calls" if self.interrupted else ""
        rate = tally.calls / self.elapsed if self.elapsed else 0.0
        done = stopped or f"{tally.calls} calls"
        known = (f"{name} {milliseconds(value)}" for name, value in self.percentiles().items())
        lines = [
            f"{done} in {self.elapsed:.1f} s ({rate:.0f} a second)",
            f"  errors seen by the caller  {self.errors}",
            f"  failures caught            {tally.caught.total()}",
            f"  calls that failed over     {len(tally.moved_on)}{self._slowest()}",
            f"  time to an answer          {', '.join(known)}",
        ]
        return lines + [f"  caller's error, {n} times: {text}" for text, n in tally.errors.items()]

    def _slowest(self) -> str:
        moved_on = self.tally.moved_on
        return f", the slowest answered after {milliseconds(max(moved_on))}" if moved_on else ""

    def _providers(self) -> list[str]:
        everyone = sum(row.answered for row in self.standings) or 1
        lines = ["provider  answered  share     p50     p99  failed  of which"]
        for row in self.standings:
            kinds = self._caught(row.provider).most_common()
            told = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in kinds)
            share = f"{row.answered / everyone:.0%}"
            speed = f"{milliseconds(row.p50):>6}  {milliseconds(row.p99):>6}"
            line = (
                f"{row.provider:8}  {row.answered:8}  {share:>5}  {speed}  {row.failed:6}  {told}"
            )
            lines.append(line.rstrip())
        return lines

    def _history(self) -> list[str]:
        history = self.tally.history
        if not history:
            return []
        return ["What happened", *map(str, history), *self._unfinished(history)]

    def _unfinished(self, history: list[Moment]) -> list[str]:
        """Who is still out when the calls are through: an honest end needs that said."""
        out = [row for row in self.standings if row.state != "closed"]
        if self.interrupted or not out:
            return []
        names = " and ".join(row.provider for row in out)
        early = f"The calls were through at {self.elapsed:.1f} s, before {names} was back in use:"
        return [f"{early} more --calls or a shorter --outage show it come back."]

    def _endpoint(self) -> list[str]:
        scrape = self.scrape
        return [
            f"Metrics were served at {self.metrics_url}, and said at the end:",
            f'  multirouter_calls_total{{outcome="success"}}     {scrape.answered}',
            f'  multirouter_attempts_total{{outcome="failure"}}  {scrape.failed_attempts}',
        ]
