"""The tables of a report as text cells; the text form and the HTML page both show them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from multirouter.report import number_format as fmt
from multirouter.report.model import (
    KeyStats,
    Latency,
    OperationStats,
    ProviderStats,
    Report,
    Summary,
)
from multirouter.report.number_format import count, percent, usd

Row = tuple[str, ...]
Format = Callable[[Any], str]

PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of text cells.

    Attributes:
        title: shown above it; may be "".
        header: names of the columns.
        rows: cells, one tuple per row.
        note: explanation below the table.
        empty: shown instead of a table without rows.
        text_columns: how many of the first columns are text; the others are figures.
    """

    title: str
    header: Row
    rows: Sequence[Row]
    note: str = ""
    empty: str = ""
    text_columns: int = 1


def tables(report: Report) -> list[ReportTable]:
    """Returns all tables of a report, the summary first."""
    found = [
        summary_table(report.summary),
        *_baseline(report),
        _routes(report),
        _answers(report),
        _providers(report),
        *_models(report),
        *_keys(report),
        *_operations(report),
        _failovers(report),
    ]
    if report.summary.cost is not None:
        found.append(_costs(report))
    found += [_open_periods(report), _comparison(report)]
    return found


def summary_table(summary: Summary) -> ReportTable:
    """Returns the figures with failover beside those of the first choice alone."""
    latency, first_choice = summary.latency, summary.first_choice_latency
    first_choice_errors = summary.first_choice_failed + summary.request_errors
    rows = [
        ("calls answered", percent(summary.success_rate), percent(_first_choice_rate(summary))),
        ("failures masked", count(summary.masked_failures), fmt.NONE),
        ("first choice unavailable", count(summary.first_choice_unavailable), fmt.NONE),
        ("answered elsewhere", count(summary.diverted), fmt.NONE),
        ("errors", count(summary.errors), count(first_choice_errors)),
        ("p99 latency", fmt.latency(latency.p99), fmt.latency(first_choice.p99)),
        ("p50 latency", fmt.latency(latency.p50), fmt.latency(first_choice.p50)),
        ("circuit trips", count(summary.trips), fmt.NONE),
        ("effective providers", fmt.decimal(summary.effective_providers), fmt.NONE),
    ]
    if summary.cost is not None:
        rows.append(("cost", usd(summary.cost), _first_choice_cost(summary)))
    note = (
        "First choice only: the result of each call's first attempt, and no answer where the "
        "route's first choice was unavailable."
    )
    if math.inf in (latency.p99, first_choice.p99):
        note += " There is no p99 where more than 1 % of the calls got no answer."
    if summary.request_errors:
        note += (
            f" {count(summary.request_errors)} of the errors were caused by the request itself "
            "and are not part of the shares."
        )
    return ReportTable("", ("", "with failover", "first choice only"), rows, note)


def _baseline(report: Report) -> list[ReportTable]:
    baseline, summary = report.baseline, report.summary
    if baseline is None:
        return []
    rows = [
        ("calls answered", percent(summary.success_rate), percent(baseline.success_rate)),
        ("p99 latency", fmt.latency(summary.latency.p99), fmt.latency(baseline.latency.p99)),
        ("p50 latency", fmt.latency(summary.latency.p50), fmt.latency(baseline.latency.p50)),
        ("cost", usd(summary.cost), usd(baseline.cost)),
    ]
    note = (
        f"Success and latency are those of the {count(baseline.attempts)} attempts that this model "
        "had; cost is that of all tokens of the period at its price."
    )
    title = f"Had it all been {baseline.model}"
    return [ReportTable(title, ("", "as it was", baseline.model), rows, note)]


def _first_choice_rate(summary: Summary) -> float | None:
    if summary.success_rate is None:
        return None
    return 1 - summary.first_choice_failed / summary.counted


def _first_choice_cost(summary: Summary) -> str:
    """What the calls would have cost at their first choice, as far as that is known."""
    if summary.cost is None or summary.failover_cost is None:
        return fmt.NONE
    return usd(summary.cost - summary.failover_cost)


def _routes(report: Report) -> ReportTable:
    rows = [
        (
            stats.route,
            count(stats.summary.calls),
            percent(stats.summary.success_rate),
            count(stats.summary.recovered),
            count(stats.summary.errors),
            *_latency(stats.summary.latency),
        )
        for stats in report.routes
    ]
    header = ("route", "calls", "success", "recovered", "errors", *PERCENTILES)
    return ReportTable("Routes", header, rows, empty="No calls.")


def _latency(latency: Latency) -> Row:
    return fmt.latency(latency.p50), fmt.latency(latency.p95), fmt.latency(latency.p99)


def _providers(report: Report) -> ReportTable:
    rows = [
        (
            stats.provider,
            count(stats.attempts),
            count(stats.answers),
            percent(stats.share),
            percent(stats.success_rate),
            *_latency(stats.latency),
        )
        for stats in report.providers
    ]
    header = ("provider", "attempts", "answers", "share", "success", *PERCENTILES)
    return ReportTable("Providers", header, rows, empty="No attempts.")


def _answers(report: Report) -> ReportTable:
    rows = [
        (
            answers.route,
            answers.provider,
            count(answers.answers),
            percent(answers.share),
            count(answers.diverted),
        )
        for answers in report.answers
    ]
    header = ("route", "provider", "answers", "share", "not first choice")
    note = "Not first choice: answers that the route's first choice would have given if it could."
    title = "Where calls were answered"
    return ReportTable(title, header, rows, note, empty="No answers.", text_columns=2)


def _models(report: Report) -> list[ReportTable]:
    rows = [
        (
            stats.model,
            stats.provider,
            count(stats.attempts),
            percent(stats.success_rate),
            *_latency(stats.latency),
            fmt.tokens(stats.input_tokens),
            fmt.tokens(stats.output_tokens),
            usd(stats.cost),
        )
        for stats in report.models
    ]
    header = ("model", "provider", "attempts", "success", *PERCENTILES, "input", "output", "cost")
    return [ReportTable("Models", header, rows, text_columns=2)] if rows else []


def _keys(report: Report) -> list[ReportTable]:
    return _groups("Keys", "key", [(stats.key or fmt.NONE, stats) for stats in report.keys])


def _operations(report: Report) -> list[ReportTable]:
    found = [(stats.operation, stats) for stats in report.operations]
    return _groups("Operations", "operation", found)


def _groups(
    title: str, column: str, groups: Sequence[tuple[str, KeyStats | OperationStats]]
) -> list[ReportTable]:
    rows = [
        (
            name,
            count(stats.summary.calls),
            percent(stats.summary.success_rate),
            count(stats.summary.recovered),
            count(stats.summary.errors),
            *_latency(stats.summary.latency),
            fmt.tokens(stats.input_tokens),
            fmt.tokens(stats.output_tokens),
            usd(stats.summary.cost),
        )
        for name, stats in groups
    ]
    figures = ("calls", "success", "recovered", "errors", *PERCENTILES, "input", "output", "cost")
    return [ReportTable(title, (column, *figures), rows)] if rows else []


def _failovers(report: Report) -> ReportTable:
    rows = [
        (
            f"{failover.provider} → {failover.to_provider}",
            fmt.words(failover.kind),
            count(failover.count),
        )
        for failover in report.failovers
    ]
    header = ("from → to", "reason", "count")
    return ReportTable("Failovers", header, rows, empty="No failovers.", text_columns=2)


def _costs(report: Report) -> ReportTable:
    rows = [_cost_row(stats) for stats in report.providers if stats.cost is not None]
    for stats in report.routes:
        summary = stats.summary
        if summary.cost is not None:
            extra = usd(summary.failover_cost, sign=True)
            rows.append((f"route {stats.route}", "", "", "", usd(summary.cost), extra))
    header = ("", "input", "output", "per answer", "cost", "failover")
    note = "Failover: what calls cost more (or less) than at their first choice."
    return ReportTable("Cost", header, rows, note)


def _cost_row(stats: ProviderStats) -> Row:
    per_answer = stats.cost / stats.answers if stats.cost is not None and stats.answers else None
    return (
        stats.provider,
        fmt.tokens(stats.input_tokens),
        fmt.tokens(stats.output_tokens),
        usd(per_answer),
        usd(stats.cost),
        "",
    )


def _open_periods(report: Report) -> ReportTable:
    rows = [
        (
            period.provider,
            fmt.words(period.reason),
            fmt.timestamp(period.started),
            fmt.duration(None if period.ended is None else period.ended - period.started),
            count(period.failed_trials),
        )
        for period in report.open_periods
    ]
    header = ("provider", "reason", "opened (UTC)", "open for", "failed trials")
    return ReportTable("Open circuits", header, rows, empty="No circuit opened.", text_columns=3)


def _comparison(report: Report) -> ReportTable:
    title = f"Compared with the previous {fmt.duration(report.until - report.since)}"
    now, before = report.summary, report.previous
    if before is None:
        return ReportTable(title, (), [], empty="No data for the previous period.")
    rows = [
        _compared("calls", count, now.calls, before.calls),
        _compared("success", percent, now.success_rate, before.success_rate, with_change=False),
        _compared("errors", count, now.errors, before.errors),
        _compared("failures masked", count, now.masked_failures, before.masked_failures),
        _compared("p50", fmt.latency, now.latency.p50, before.latency.p50),
        _compared("p99", fmt.latency, now.latency.p99, before.latency.p99),
        _compared("circuit trips", count, now.trips, before.trips),
    ]
    if now.cost is not None:
        rows.append(_compared("cost", usd, now.cost, before.cost))
    return ReportTable(title, ("", "now", "before", "change"), rows)


def _compared(
    name: str,
    formatted: Format,
    now: float | None,
    before: float | None,
    *,
    with_change: bool = True,
) -> tuple[str, str, str, str]:
    change = fmt.change(now, before) if with_change else ""
    return name, formatted(now), formatted(before), change
