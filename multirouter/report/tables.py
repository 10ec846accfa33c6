"""What stands in a report, as titled tables of words: the same for a terminal and for a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from multirouter.report import number_format as wording
from multirouter.report.model import Head, Latency, ProviderFigures, Report
from multirouter.report.number_format import number, seconds, share, usd

Row = tuple[str, ...]
Tell = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table: a title, a head, rows, what explains it, and what is told when it is empty.

    Attributes:
        words: how many of the first columns are words; the others are figures.
    """

    title: str
    head: Row
    rows: Sequence[Row]
    note: str = ""
    empty: str = ""
    words: int = 1


def tables(report: Report) -> list[ReportTable]:
    """Every table of a report, the headline first."""
    found = [headline(report.head), _routes(report), _providers(report), _failures(report)]
    if report.head.cost is not None:
        found.append(_costs(report))
    found += [_openings(report), _before(report)]
    return found


def headline(head: Head) -> ReportTable:
    """What failover was good for: beside it, what the first choices alone would have come to."""
    alone = None if head.success is None else _answered_alone(head)
    rows = [
        ("calls answered", share(head.success), share(alone)),
        ("failures caught", number(head.failures_caught), NO),
        ("led past who was out", number(head.diverted), NO),
        ("errors seen", number(head.errors_seen), number(head.failed_first + head.own_fault)),
        ("p99 to an answer", seconds(head.latency.p99), seconds(head.latency_first.p99)),
        ("p50 to an answer", seconds(head.latency.p50), seconds(head.latency_first.p50)),
        ("circuit trips", number(head.trips), NO),
    ]
    if head.cost is not None:
        rows.append(("cost", usd(head.cost), _cost_alone(head)))
    note = (
        "The first choice alone: what each call's first attempt came to, and no answer "
        "where the route's first tier was out."
    )
    if math.inf in (head.latency.p99, head.latency_first.p99):
        note += " Where more than 1 % of the calls got no answer, there is no p99."
    if head.own_fault:
        count = number(head.own_fault)
        note += f" Of the errors, {count} were the request's own fault, and count in no share."
    return ReportTable("", ("", "with failover", "first choice alone"), rows, note)


NO = wording.NONE


def _answered_alone(head: Head) -> float:
    fair = head.calls - head.cancelled - head.own_fault
    return 1 - head.failed_first / fair


def _cost_alone(head: Head) -> str:
    """What the calls would have cost at their first choice, as far as that is known."""
    if head.cost is None or head.failover_cost is None:
        return NO
    return usd(head.cost - head.failover_cost)


def _routes(report: Report) -> ReportTable:
    rows = [
        (
            each.route,
            number(each.head.calls),
            share(each.head.success),
            number(each.head.rescued),
            number(each.head.errors_seen),
            *_latency(each.head.latency),
        )
        for each in report.routes
    ]
    head = ("route", "calls", "success", "rescued", "errors", *PERCENTILES)
    return ReportTable("Routes", head, rows, empty="There was no call.")


PERCENTILES = ("p50", "p95", "p99")


def _latency(latency: Latency) -> Row:
    return seconds(latency.p50), seconds(latency.p95), seconds(latency.p99)


def _providers(report: Report) -> ReportTable:
    rows = [
        (
            each.provider,
            number(each.attempts),
            number(each.answers),
            share(each.share),
            share(each.success),
            *_latency(each.latency),
        )
        for each in report.providers
    ]
    head = ("provider", "asked", "answered", "share", "success", *PERCENTILES)
    return ReportTable("Providers", head, rows, empty="Nobody was asked.")


def _failures(report: Report) -> ReportTable:
    rows = [
        (f"{move.provider} → {move.moved_to}", wording.words(move.kind), number(move.count))
        for move in report.moves
    ]
    head = ("from → to", "because of", "times")
    return ReportTable("Failovers", head, rows, empty="There was none.", words=2)


def _costs(report: Report) -> ReportTable:
    rows = [_cost_row(each) for each in report.providers if each.cost is not None]
    for route in report.routes:
        if route.head.cost is not None:
            above = usd(route.head.failover_cost, sign=True)
            rows.append((f"route {route.route}", "", "", "", usd(route.head.cost), above))
    head = ("", "input", "output", "per answer", "cost", "failover")
    note = "Failover: what calls cost above what their answers would have cost at the first choice."
    return ReportTable("Cost", head, rows, note)


def _cost_row(each: ProviderFigures) -> Row:
    given, got = each.tokens
    each_answer = each.cost / each.answers if each.cost is not None and each.answers else None
    spent = (wording.tokens(given), wording.tokens(got), usd(each_answer), usd(each.cost))
    return (each.provider, *spent, "")


def _openings(report: Report) -> ReportTable:
    rows = [
        (
            each.provider,
            wording.words(each.reason),
            wording.moment(each.began),
            wording.span(None if each.ended is None else each.ended - each.began),
            number(each.reopened),
        )
        for each in report.openings
    ]
    head = ("provider", "because of", "from (UTC)", "for", "failed trials")
    return ReportTable("Circuit openings", head, rows, empty="All circuits stayed closed.", words=3)


def _before(report: Report) -> ReportTable:
    title = f"Against the {wording.span(report.until - report.since)} before"
    head, before = report.head, report.before
    if before is None:
        return ReportTable(title, (), [], empty="Nothing is known of that time.")
    pairs = [
        _compared("calls", number, head.calls, before.calls),
        _compared("success", share, head.success, before.success, plain=True),
        _compared("errors seen", number, head.errors_seen, before.errors_seen),
        _compared("failures caught", number, head.failures_caught, before.failures_caught),
        _compared("p50", seconds, head.latency.p50, before.latency.p50),
        _compared("p99", seconds, head.latency.p99, before.latency.p99),
        _compared("circuit trips", number, head.trips, before.trips),
    ]
    if head.cost is not None:
        pairs.append(_compared("cost", usd, head.cost, before.cost))
    return ReportTable(title, ("", "now", "before", "change"), pairs)


def _compared(
    name: str, tell: Tell, now: float | None, before: float | None, *, plain: bool = False
) -> tuple[str, str, str, str]:
    return name, tell(now), tell(before), "" if plain else wording.change(now, before)
