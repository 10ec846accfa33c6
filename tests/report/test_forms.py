"""The forms of a report: table, JSON and page, over two weeks lived in virtual time."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from multirouter import cli
from multirouter.listeners.history import file as history_file
from multirouter.report import charts
from multirouter.report import number_format as wording
from multirouter.report.command import FORMATS, as_data, span
from multirouter.report.markup import Markup, element, joined
from multirouter.report.model import Head, Latency, Report, RouteFigures
from multirouter.report.page import as_page
from multirouter.report.read_history import read
from multirouter.report.tables import headline, tables
from multirouter.report.text import as_text
from tests.report.kit import DAY, ENDED, live


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two weeks of a service with four outages."""
    kept = tmp_path_factory.mktemp("report") / "history.db"
    live(kept)
    return kept


@pytest.fixture(scope="module")
def report(file):
    """The last one of them."""
    connection = history_file.open_to_read(file)
    yield read(connection, ENDED - 7 * DAY, ENDED)
    connection.close()


class Page(HTMLParser):
    """What a page is made of."""

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


def test_the_demo_shows_what_it_should(report):
    """The generated weeks hold what a report is about: outages that no caller saw."""
    head = report.head
    assert head.calls > 2000
    assert head.errors_seen == 0
    assert head.failures_caught > 20
    assert head.diverted > 50
    assert head.trips >= 2
    assert head.latency.p99 < 15 < head.latency_first.p99
    assert {move.kind for move in report.moves} >= {"overloaded", "rate_limit", "timeout"}
    assert head.cost is not None
    assert head.failover_cost is not None
    assert report.before.calls > 2000


def test_the_table_tells_the_headline_first(report):
    """The plain text begins with the span and what failover was good for, and fits a terminal."""
    lines = as_text(report).splitlines()
    assert lines[0] == "2026-09-14 14:13 to 2026-09-21 14:13 UTC"
    assert re.search(r"with failover +first choice alone$", lines[2])
    caught = f"{report.head.failures_caught:,}"
    assert re.fullmatch(rf"failures caught +{caught} +-", lines[4])
    assert {"ROUTES", "PROVIDERS", "FAILOVERS", "COST", "CIRCUIT OPENINGS"} <= set(lines)
    assert "AGAINST THE 7 D BEFORE" in lines
    assert max(map(len, lines)) <= 100


def test_the_page_stands_alone(report):
    """One file, well formed: no script, nothing fetched, a viewport, both colour schemes."""
    text = as_page(report)
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


def test_charts_are_true(report):
    """Each column is as high as its calls, and every lane is red for as long as its openings."""
    drawn = ET.fromstring(charts.calls_chart(report))
    svg = drawn.find(".//svg")
    columns = list(svg.iter("g"))
    assert len(columns) == len(report.slots)
    top = charts.nice_top(max(s.at_once + s.rescued + s.failed for s in report.slots))
    for slot, column in zip(report.slots, columns, strict=True):
        high = {rect.get("class"): float(rect.get("height")) for rect in column.iter("rect")}
        assert high.get("good", 0.0) == pytest.approx(slot.at_once / top * 100, rel=1e-4)
        assert high.get("saved", 0.0) == pytest.approx(slot.rescued / top * 100, rel=1e-4)
    lanes = ET.fromstring(charts.circuits_chart(report))
    red = sum(float(rect.get("width")) for rect in lanes.iter("rect")) / 1000
    begin, end = report.slots[0].at, report.slots[-1].at + report.slot_seconds
    out = sum((o.ended or end) - max(o.began, begin) for o in report.openings)
    assert red == pytest.approx(out / (end - begin), abs=0.01)


def test_json_is_json(report):
    """All figures are there, in plain data without NaN or infinity."""
    data = json.loads(json.dumps(as_data(report), allow_nan=False))
    assert data["head"]["failures_caught"] == report.head.failures_caught
    assert data["head"]["latency_first"]["p99"] == "none"
    assert data["providers"][0]["provider"] == "opus"
    assert len(data["slots"]) == len(report.slots)
    assert data["openings"][0]["ended"] > data["openings"][0]["began"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_command(form, file, monkeypatch, capsys):
    """`multirouter report` writes each form of the span that ends now."""
    monkeypatch.setattr("time.time", lambda: ENDED)
    assert cli.main(["report", "--since", "7d", "--format", form, str(file)]) == 0
    told = capsys.readouterr().out
    begin = {"table": "2026-09-14 14:13 to", "json": "{\n", "html": "<!doctype html>\n"}
    assert told.startswith(begin[form])
    assert told.endswith("\n")
    if form == "json":
        assert json.loads(told)["until"] == ENDED


def test_one_router_alone(file, monkeypatch, capsys):
    """`--router` speaks of that one; of a name that is not there nothing is known."""
    monkeypatch.setattr("time.time", lambda: ENDED)
    assert cli.main(["report", "--router", "nobody", "--format", "json", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["head"]["calls"] == 0


def test_what_cannot_be_read_is_told(tmp_path, capsys):
    """A file that is not there, not ours or broken ends with status 2 and a reason."""
    broken = tmp_path / "broken.db"
    history_file.open_to_write(broken).close()
    spoilt = bytearray(broken.read_bytes())
    spoilt[4096:] = b"\xff" * (len(spoilt) - 4096)
    broken.write_bytes(spoilt)
    (tmp_path / "text").write_text("hello " * 1000)
    for name, why in (
        ("missing", "there is no file"),
        ("text", "no SQLite database"),
        ("broken.db", "malformed"),
    ):
        assert cli.main(["report", str(tmp_path / name)]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("1.5w", 907_200)]
)
def test_spans(text, seconds):
    """A span is a number and a unit."""
    assert span(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "-1d", "0h", "7 days", "9999999d"])
def test_what_is_no_span_is_refused(text, capsys):
    """Anything else is refused with the forms that are known."""
    with pytest.raises(SystemExit):
        cli.main(["report", "--since", text, "x.db"])
    assert "30m, 24h, 7d or 4w" in capsys.readouterr().err or text.startswith("-")


def test_names_cannot_break_the_page():
    """Names and reasons are text, whatever they hold."""
    head = Head(calls=1, answered=1, latency=Latency(1, 1, 1))
    found = Report(0.0, 10.0, head, None, routes=[RouteFigures("<script>x</script>", head)])
    page = as_page(found)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert element("p", "a<b", class_='"x"') == '<p class="&quot;x&quot;">a&lt;b</p>'
    assert joined(Markup("<b>"), "<i>") == "<b>&lt;i&gt;"


def test_an_empty_report_says_so():
    """Without calls the page and the table say that, and draw nothing."""
    empty = Report(0.0, 10.0, Head(), None)
    assert "No calls in this time" in as_page(empty)
    assert "<figure" not in as_page(empty)
    text = as_text(empty)
    assert "There was no call." in text
    assert "Nothing is known of that time." in text


def test_the_verdict_in_a_sentence():
    """What was caught, and what callers saw, in words."""
    said = {
        Head(calls=9, failures_caught=1): "1 failure caught, none seen by callers",
        Head(calls=9, errors_seen=3, own_fault=1): "No failure to catch, 2 seen by callers",
    }
    for head, words in said.items():
        assert f"<h1>{words}</h1>" in as_page(Report(0.0, 10.0, head, None))


def test_own_faults_are_explained():
    """Errors that were the request's own fault are said to be, since they count in no share."""
    table = headline(Head(calls=5, answered=3, errors_seen=2, own_fault=2))
    assert "2 were the request's own fault" in table.note
    assert ("calls answered", "100 %", "100 %") in table.rows


def test_money_appears_with_prices_alone():
    """Without prices there is neither a cost table nor a cost of the headline."""
    free = Report(0.0, 10.0, Head(calls=1, answered=1), None)
    assert "Cost" not in [table.title for table in tables(free)]
    assert "cost" not in [row[0] for row in headline(free.head).rows]
    unknown = headline(Head(calls=1, answered=1, cost=1.0))
    assert ("cost", "$1.00", "-") in unknown.rows


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (wording.share(0.99996), "99.99 %"),
        (wording.share(0.5), "50.0 %"),
        (wording.share(1.0), "100 %"),
        (wording.share(None), "-"),
        (wording.seconds(0.25), "250 ms"),
        (wording.seconds(5.0), "5.00 s"),
        (wording.seconds(14.22), "14.2 s"),
        (wording.seconds(math.inf), "no answer"),
        (wording.span(4.25), "4.2 s"),
        (wording.span(42.0), "42 s"),
        (wording.span(3600.0), "1 h"),
        (wording.span(3725.0), "1 h 2 min"),
        (wording.span(90_000.0), "1 d 1 h"),
        (wording.span(None), "still open"),
        (wording.usd(0.0), "$0.00"),
        (wording.usd(-1234.5), "-$1,234.50"),
        (wording.usd(0.0351, sign=True), "+$0.0351"),
        (wording.usd(None), "-"),
        (wording.tokens(999), "999"),
        (wording.tokens(1_250_000), "1.2M"),
        (wording.change(110, 100), "+10.0 %"),
        (wording.change(100, 100), "±0 %"),
        (wording.change(5, 0), ""),
        (wording.change(math.inf, 5), ""),
        (wording.short_moment(0.0, 60.0), "01 Jan 00:00"),
        (wording.short_moment(0.0, 86_400.0), "01 Jan"),
    ],
)
def test_words(told, words):
    """Figures read well, and never better than they are."""
    assert told == words


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (7, 8), (8.1, 10), (105, 120), (130, 160), (0.03, 0.03)]
)
def test_axes_end_on_round_numbers(most, top):
    """An axis covers the highest value, and ends on a number that is easily read."""
    assert charts.nice_top(most) == pytest.approx(top)
