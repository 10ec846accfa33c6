"""A report as one HTML page that stands alone: its style and charts are in it, scripts are not."""

from __future__ import annotations

from pathlib import Path

from multirouter.report import charts
from multirouter.report import number_format as wording
from multirouter.report.markup import Markup, element, joined
from multirouter.report.model import Head, Report
from multirouter.report.tables import ReportTable, headline, tables

STYLE = Path(__file__).with_name("style.css")


def as_page(report: Report) -> str:
    """The whole page."""
    title = f"{wording.moment(report.since)} to {wording.moment(report.until)} UTC"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"multirouter, {title}"),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    _first, *others = tables(report)
    body = element(
        "body",
        element(
            "header",
            element("p", "multirouter", class_="brand"),
            element("h1", _verdict(report.head)),
            element("p", title, class_="period"),
        ),
        element(
            "main", _cards(report), _headline(report.head), *_charts(report), *map(_section, others)
        ),
    )
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _verdict(head: Head) -> str:
    """The report in a sentence."""
    if not head.calls:
        return "No calls in this time"
    if head.failures_caught:
        failures = "failure" if head.failures_caught == 1 else "failures"
        caught = f"{wording.number(head.failures_caught)} {failures} caught"
    else:
        caught = "No failure to catch"
    seen = head.errors_seen - head.own_fault
    if not seen:
        return f"{caught}, none seen by callers"
    return f"{caught}, {wording.number(seen)} seen by callers"


def _cards(report: Report) -> Markup:
    """The figures that one looks at first."""
    head = report.head
    before = report.before or Head()
    found = [
        ("Calls", wording.number(head.calls), _against(head.calls, before.calls)),
        ("Answered", wording.share(head.success), f"{wording.number(head.rescued)} rescued"),
        (
            "p99 to an answer",
            wording.seconds(head.latency.p99),
            f"first choice alone: {wording.seconds(head.latency_first.p99)}",
        ),
        ("Circuit trips", wording.number(head.trips), _against(head.trips, before.trips)),
    ]
    if head.cost is not None:
        above = f"failover: {wording.usd(head.failover_cost, sign=True)}"
        found.append(("Cost", wording.usd(head.cost), above))
    cards = [
        element(
            "div",
            element("span", name),
            element("strong", value),
            element("small", note),
            class_="card",
        )
        for name, value, note in found
    ]
    return element("section", *cards, class_="cards")


def _against(now: float, before: float) -> str:
    by = wording.change(now, before)
    return f"{by} against before" if by else ""


def _headline(head: Head) -> Markup:
    return _section(headline(head), title="What failover was good for")


def _charts(report: Report) -> list[Markup]:
    if not report.slots or not report.head.calls:
        return []
    drawn = [charts.calls_chart(report), charts.latency_chart(report)]
    if report.openings:
        drawn.append(charts.circuits_chart(report))
    if report.head.cost is not None:
        drawn.append(charts.cost_chart(report))
    return [element("section", *drawn, class_="charts")]


def _section(table: ReportTable, title: str = "") -> Markup:
    inside = [element("h2", title or table.title)]
    if table.rows:
        inside.append(_table(table))
    else:
        inside.append(element("p", table.empty, class_="note"))
    if table.rows and table.note:
        inside.append(element("p", table.note, class_="note"))
    return element("section", *inside)


def _table(table: ReportTable) -> Markup:
    head = element("tr", *_cells("th", table.head, table.words))
    rows = [element("tr", *_cells("td", row, table.words)) for row in table.rows]
    body = joined(element("thead", head), element("tbody", *rows))
    return element("div", element("table", body), class_="scroll")


def _cells(name: str, row: tuple[str, ...], words: int) -> list[Markup]:
    return [
        element(name, cell, class_=None if number < words else "figure")
        for number, cell in enumerate(row)
    ]
