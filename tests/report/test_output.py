"""The text, JSON and HTML forms of a report over two simulated weeks, and the command."""

from __future__ import annotations

import json
import math
import os
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from multirouter import cli
from multirouter.listeners.history import file as history_file
from multirouter.published_prices import known_prices, published_price
from multirouter.report import charts
from multirouter.report import number_format as fmt
from multirouter.report.baseline import baseline_of, price_from
from multirouter.report.command import FORMATS, as_json_data, period
from multirouter.report.markup import Markup, element, join
from multirouter.report.model import Latency, ModelStats, ProviderStats, Report, RouteStats, Summary
from multirouter.report.page import render_page
from multirouter.report.reader import read_report
from multirouter.report.tables import summary_table, tables
from multirouter.report.text import render_text
from tests.report.simulation import DAY, ENDED, simulate


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The history of two weeks with outages."""
    path = tmp_path_factory.mktemp("report") / "history.db"
    simulate(path)
    return path


@pytest.fixture(scope="module")
def report(file):
    """The report of the second week."""
    connection = history_file.open_to_read(file)
    yield read_report(connection, ENDED - 7 * DAY, ENDED)
    connection.close()


class Page(HTMLParser):
    """Parses a page into its elements, and checks that they are closed."""

    void = ("meta",)

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_simulation_has_outages_without_errors(report):
    """The simulated week has masked failures, circuit trips and costs, but no errors."""
    summary = report.summary
    assert summary.calls > 2000
    assert summary.errors == 0
    assert summary.masked_failures > 20
    assert summary.first_choice_unavailable > 50
    assert summary.trips >= 2
    assert summary.latency.p99 < 15 < summary.first_choice_latency.p99
    kinds = {failover.kind for failover in report.failovers}
    assert kinds >= {"overloaded", "rate_limit", "timeout"}
    assert summary.cost is not None
    assert summary.failover_cost is not None
    assert report.previous.calls > 2000


def test_the_text_starts_with_the_summary(report):
    """The text has the period, the summary and all tables, in at most 100 columns."""
    lines = render_text(report).splitlines()
    assert lines[0] == "2026-09-14 14:13 to 2026-09-21 14:13 UTC"
    assert re.search(r"with failover +first choice only$", lines[2])
    masked = f"{report.summary.masked_failures:,}"
    assert re.fullmatch(rf"failures masked +{masked} +-", lines[4])
    assert {"ROUTES", "PROVIDERS", "FAILOVERS", "COST", "OPEN CIRCUITS"} <= set(lines)
    assert "COMPARED WITH THE PREVIOUS 7 D" in lines
    assert max(map(len, lines)) <= 100


def test_the_page_is_self_contained(report):
    """The page is well-formed, has no script, loads nothing, and has light and dark colours."""
    text = render_page(report)
    page = Page(text)
    assert page.open == []
    names = [name for name, _ in page.elements]
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not [a for _, attributes in page.elements for a in ("src", "href") if a in attributes]
    assert "url(" not in text
    assert "@import" not in text
    assert (
        "meta",
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    ) in page.elements
    assert "prefers-color-scheme: dark" in text
    assert names.count("figure") == 4
    assert names.count("svg") >= 4
    assert len(text) < 200_000


def test_charts_show_the_figures(report):
    """The height of each bar is its calls; the red parts of the lanes are the open periods."""
    timeline = report.timeline
    svg = ET.fromstring(charts.calls_chart(report)).find(".//svg")
    bars = list(svg.iter("g"))
    assert len(bars) == len(timeline)
    top = charts.axis_end(max(i.first_choice + i.recovered + i.failed for i in timeline))
    for interval, bar in zip(timeline, bars, strict=True):
        heights = {rect.get("class"): float(rect.get("height")) for rect in bar.iter("rect")}
        first_choice, recovered = heights.get("good", 0.0), heights.get("recovered", 0.0)
        assert first_choice == pytest.approx(interval.first_choice / top * 100, rel=1e-4)
        assert recovered == pytest.approx(interval.recovered / top * 100, rel=1e-4)
    lanes = ET.fromstring(charts.circuits_chart(report))
    red = sum(float(rect.get("width")) for rect in lanes.iter("rect")) / 1000
    start, end = timeline[0].start, timeline[-1].start + report.interval_seconds
    seconds = sum((p.ended or end) - max(p.started, start) for p in report.open_periods)
    assert red == pytest.approx(seconds / (end - start), abs=0.01)


def test_json_has_all_figures(report):
    """The JSON form has all figures, without NaN or infinity."""
    data = json.loads(json.dumps(as_json_data(report), allow_nan=False))
    assert data["summary"]["masked_failures"] == report.summary.masked_failures
    assert data["summary"]["first_choice_latency"]["p99"] == "no_answer"
    assert data["providers"][0]["provider"] == "opus"
    assert len(data["timeline"]) == len(report.timeline)
    assert data["open_periods"][0]["ended"] > data["open_periods"][0]["started"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_writes_each_form(form, file, monkeypatch, capsys):
    """`multirouter report` writes each form for the period up to now."""
    monkeypatch.setattr("time.time", lambda: ENDED)
    assert cli.main(["report", "--since", "7d", "--format", form, str(file)]) == 0
    output = capsys.readouterr().out
    start = {"table": "2026-09-14 14:13 to", "json": "{\n", "html": "<!doctype html>\n"}
    assert output.startswith(start[form])
    assert output.endswith("\n")
    if form == "json":
        assert json.loads(output)["until"] == ENDED


def test_the_router_option_selects_a_router(file, monkeypatch, capsys):
    """`--router` reports one router; an unknown name is an error."""
    monkeypatch.setattr("time.time", lambda: ENDED)
    assert cli.main(["report", "--router", "default", "--format", "json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["calls"] > 0
    assert cli.main(["report", "--router", "defualt", str(file)]) == 2
    assert "--router: unknown router 'defualt'; did you mean 'default'?" in capsys.readouterr().err


def test_an_unreadable_file_is_an_error(tmp_path, capsys):
    """A missing file, another file and a corrupt one give status 2 and a message."""
    corrupt = tmp_path / "corrupt.db"
    history_file.open_to_write(corrupt).close()
    content = bytearray(corrupt.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    corrupt.write_bytes(content)
    (tmp_path / "text").write_text("hello " * 1000)
    for name, message in (
        ("missing", "does not exist"),
        ("", "must be a history file, got the folder"),
        (os.devnull, "must be a history file, got the device"),
        ("text", "not an SQLite database"),
        ("corrupt.db", "malformed"),
    ):
        assert cli.main(["report", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("1.5w", 907_200)]
)
def test_periods(text, seconds):
    """A period is a number and a unit."""
    assert period(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "-1d", "0h", "7 days", "9999999d"])
def test_an_invalid_period_is_an_error(text, capsys):
    """The message names valid periods."""
    with pytest.raises(SystemExit):
        cli.main(["report", "--since", text, "x.db"])
    assert "30m, 24h, 7d or 4w" in capsys.readouterr().err or text.startswith("-")


def test_names_are_escaped_in_the_page():
    """Names and attribute values are escaped, whatever they contain."""
    summary = Summary(calls=1, answered=1, latency=Latency(1, 1, 1))
    routes = [RouteStats("<script>x</script>", summary)]
    page = render_page(Report(0.0, 10.0, summary, None, routes=routes))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert element("p", "a<b", class_='"x"') == '<p class="&quot;x&quot;">a&lt;b</p>'
    assert join(Markup("<b>"), "<i>") == "<b>&lt;i&gt;"


def test_an_empty_report_has_no_charts():
    """Without calls, page and text say so."""
    empty = Report(0.0, 10.0, Summary(), None)
    assert "No calls in this period" in render_page(empty)
    assert "<figure" not in render_page(empty)
    text = render_text(empty)
    assert "No calls." in text
    assert "No data for the previous period." in text


@pytest.mark.parametrize(
    ("summary", "headline"),
    [
        (
            Summary(calls=9, masked_failures=1),
            "1 failure masked by failover, no errors returned to callers",
        ),
        (
            Summary(calls=9, errors=3, request_errors=1),
            "No failures masked by failover, 2 errors returned to callers",
        ),
    ],
)
def test_the_headline_sums_up_the_report(summary, headline):
    """The headline has the masked failures and the errors, without request errors."""
    assert f"<h1>{headline}</h1>" in render_page(Report(0.0, 10.0, summary, None))


def test_request_errors_are_explained():
    """The note below the summary says that request errors are not part of the shares."""
    table = summary_table(Summary(calls=5, answered=3, errors=2, request_errors=2))
    assert "2 of the errors were caused by the request itself" in table.note
    assert ("calls answered", "100 %", "100 %") in table.rows


def test_costs_are_shown_only_with_prices():
    """Without prices there is neither a cost table nor a cost in the summary."""
    unpriced = Report(0.0, 10.0, Summary(calls=1, answered=1), None)
    assert "Cost" not in [table.title for table in tables(unpriced)]
    assert "cost" not in [row[0] for row in summary_table(unpriced.summary).rows]
    without_first_choice = summary_table(Summary(calls=1, answered=1, cost=1.0))
    assert ("cost", "$1.00", "-") in without_first_choice.rows


@pytest.mark.parametrize(
    ("formatted", "expected"),
    [
        (fmt.percent(0.99996), "99.99 %"),
        (fmt.percent(0.5), "50.0 %"),
        (fmt.percent(1.0), "100 %"),
        (fmt.percent(None), "-"),
        (fmt.latency(0.25), "250 ms"),
        (fmt.latency(5.0), "5.00 s"),
        (fmt.latency(14.22), "14.2 s"),
        (fmt.latency(math.inf), "no answer"),
        (fmt.duration(4.25), "4.2 s"),
        (fmt.duration(42.0), "42 s"),
        (fmt.duration(3600.0), "1 h"),
        (fmt.duration(3725.0), "1 h 2 min"),
        (fmt.duration(90_000.0), "1 d 1 h"),
        (fmt.duration(None), "still open"),
        (fmt.usd(0.0), "$0.00"),
        (fmt.usd(-1234.5), "-$1,234.50"),
        (fmt.usd(0.0351, sign=True), "+$0.0351"),
        (fmt.usd(None), "-"),
        (fmt.tokens(999), "999"),
        (fmt.tokens(1_250_000), "1.2M"),
        (fmt.change(110, 100), "+10.0 %"),
        (fmt.change(100, 100), "±0 %"),
        (fmt.change(5, 0), ""),
        (fmt.change(math.inf, 5), ""),
        (fmt.axis_timestamp(0.0, 60.0), "01 Jan 00:00"),
        (fmt.axis_timestamp(0.0, 86_400.0), "01 Jan"),
    ],
)
def test_number_formats(formatted, expected):
    """Figures are short, and shares are never rounded up to 100 %."""
    assert formatted == expected


@pytest.mark.parametrize(
    ("maximum", "end"), [(0, 1), (1, 1), (7, 8), (8.1, 10), (105, 120), (130, 160), (0.03, 0.03)]
)
def test_axes_end_on_round_numbers(maximum, end):
    """An axis ends at the next round number above the maximum."""
    assert charts.axis_end(maximum) == pytest.approx(end)


# ── a baseline ──────────────────────────────────────────────────────────────────────────────────


def with_models() -> Report:
    """A report of two models: one answered a tenth of the calls."""
    used = {"cancelled": 0, "share": 0.5, "success_rate": 0.9, "failures": {}}
    sums = {"attempts": 100, "answers": 90, "cost": 4.0}
    tokens = {"input_tokens": 3_000_000, "output_tokens": 1_000_000}
    providers = [
        ProviderStats(provider=name, latency=Latency(), **used, **sums, **tokens)
        for name in ("a", "b")
    ]
    models = [
        ModelStats("a", "small", 10, 9, 0.9, Latency(0.2, 0.4, 0.5), 0.5, 1, 1),
        ModelStats("b", "small", 5, 1, 0.2, Latency(9.0, 9.0, 9.0), 0.5, 1, 1),
        ModelStats("b", "large", 90, 90, 1.0, Latency(1.0, 2.0, 3.0), 7.0, 1, 1),
    ]
    summary = Summary(calls=180, answered=180, latency=Latency(0.9, 2.0, 3.0), cost=8.0)
    return Report(0.0, 1.0, summary, None, providers=providers, models=models)


def test_the_baseline_of_a_model() -> None:
    """A model's own success and latency, and the cost of all tokens at its price."""
    baseline = baseline_of(with_models(), "small", price_from("0.5:4"))
    assert (baseline.attempts, baseline.success_rate) == (15, 0.9)
    assert baseline.latency.p99 == 0.5
    assert baseline.cost == pytest.approx(6 * 0.5 + 2 * 4)
    text = render_text(replace(with_models(), baseline=baseline))
    assert "HAD IT ALL BEEN SMALL" in text
    assert re.search(r"cost +\$8.00 +\$11.00", text)
    assert "Had it all been small" in render_page(replace(with_models(), baseline=baseline))


def test_the_baseline_of_a_model_that_was_not_used() -> None:
    """Without attempts or a price, only what is known is shown; without calls there is no cost."""
    baseline = baseline_of(with_models(), "unheard-of", None)
    assert (baseline.attempts, baseline.success_rate, baseline.cost) == (0, None, None)
    empty = Report(0.0, 1.0, Summary(), None)
    assert baseline_of(empty, "small", price_from("1:1")).cost is None
    assert "Had it all been unheard-of" in render_page(replace(with_models(), baseline=baseline))


def test_the_baseline_of_the_command(file, capsys) -> None:
    """The command takes the model, and its price or the published one; it rejects a wrong price."""
    since = ["--since", "4w"]
    assert (
        cli.main(["report", *since, "--baseline", "m", "--baseline-price", "1:2", str(file)]) == 0
    )
    assert "HAD IT ALL BEEN M" in capsys.readouterr().out
    assert cli.main(["report", "--baseline", "gpt-4o", "--format", "json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["baseline"]["model"] == "gpt-4o"
    for wrong in ("1", "1:2:3", "a:b", "-1:2", ""):
        assert cli.main(["report", "--baseline", "m", f"--baseline-price={wrong}", str(file)]) == 2
    assert cli.main(["report", "--baseline-price", "1:2", str(file)]) == 2
    assert "requires --baseline" in capsys.readouterr().err


def test_published_prices_of_any_vendor() -> None:
    """A model's published price is found without its vendor's name; an unknown one is None."""
    assert published_price("gpt-4o") == known_prices("openai")("gpt-4o")
    assert published_price("no-such-model-of-anyone") is None
