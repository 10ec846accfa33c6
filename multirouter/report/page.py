"""Renders a report as one self-contained HTML page: style and charts inline, no scripts."""

from __future__ import annotations

from pathlib import Path

from multirouter.report import charts
from multirouter.report import number_format as fmt
from multirouter.report.markup import Markup, element, join
from multirouter.report.model import Report, Summary
from multirouter.report.tables import ReportTable, summary_table, tables

STYLE = Path(__file__).with_name("style.css")


def render_page(report: Report) -> str:
    """Returns the report as an HTML document."""
    title = f"{fmt.timestamp(report.since)} to {fmt.timestamp(report.until)} UTC"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"multirouter, {title}"),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    _summary, *others = tables(report)
    body = element(
        "body",
        element(
            "header",
            element("p", "multirouter", class_="brand"),
            element("h1", _headline(report.summary)),
            element("p", title, class_="period"),
        ),
        element(
            "main",
            _cards(report),
            _section(summary_table(report.summary), title="Effect of failover"),
            *_charts(report),
            *map(_section, others),
        ),
    )
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _headline(summary: Summary) -> str:
    """The report in one sentence."""
    if not summary.calls:
        return "No calls in this period"
    masked = _counted(summary.masked_failures, "failure")
    errors = _counted(summary.errors - summary.request_errors, "error")
    return f"{masked} masked by failover, {errors} returned to callers".capitalize()


def _counted(number: int, noun: str) -> str:
    return f"{fmt.count(number) if number else 'no'} {noun}{'' if number == 1 else 's'}"


def _cards(report: Report) -> Markup:
    """The main figures."""
    summary = report.summary
    before = report.previous or Summary()
    found = [
        ("Calls", fmt.count(summary.calls), _change(summary.calls, before.calls)),
        (
            "Answered",
            fmt.percent(summary.success_rate),
            f"{fmt.count(summary.recovered)} recovered",
        ),
        (
            "p99 latency",
            fmt.latency(summary.latency.p99),
            f"first choice only: {fmt.latency(summary.first_choice_latency.p99)}",
        ),
        ("Circuit trips", fmt.count(summary.trips), _change(summary.trips, before.trips)),
    ]
    if summary.cost is not None:
        failover = f"failover: {fmt.usd(summary.failover_cost, sign=True)}"
        found.append(("Cost", fmt.usd(summary.cost), failover))
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


def _change(now: float, before: float) -> str:
    change = fmt.change(now, before)
    return f"{change} vs. previous period" if change else ""


def _charts(report: Report) -> list[Markup]:
    if not report.timeline or not report.summary.calls:
        return []
    found = [charts.calls_chart(report), charts.latency_chart(report)]
    if report.open_periods:
        found.append(charts.circuits_chart(report))
    if report.summary.cost is not None:
        found.append(charts.cost_chart(report))
    return [element("section", *found, class_="charts")]


def _section(table: ReportTable, title: str = "") -> Markup:
    content = [element("h2", title or table.title)]
    if table.rows:
        content.append(_table(table))
    else:
        content.append(element("p", table.empty, class_="note"))
    if table.rows and table.note:
        content.append(element("p", table.note, class_="note"))
    return element("section", *content)


def _table(table: ReportTable) -> Markup:
    header = element("tr", *_cells("th", table.header, table.text_columns))
    rows = [element("tr", *_cells("td", row, table.text_columns)) for row in table.rows]
    body = join(element("thead", header), element("tbody", *rows))
    return element("div", element("table", body), class_="scroll")


def _cells(name: str, row: tuple[str, ...], text_columns: int) -> list[Markup]:
    return [
        element(name, cell, class_=None if number < text_columns else "figure")
        for number, cell in enumerate(row)
    ]
