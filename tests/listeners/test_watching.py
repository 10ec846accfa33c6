"""Docs, alerts and dashboard ask, in queries that parse, for what a scrape holds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args, get_type_hints

import promql_parser
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from multirouter.core.events import RetryDenied
from multirouter.listeners.metrics.families import BUCKETS, Families
from multirouter.listeners.metrics.gauges import CIRCUIT_VALUES
from multirouter.listeners.metrics.metrics import TRIPS
from multirouter.model import CallResult, FailureKind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/multirouter.json").read_text(encoding="utf-8"))

GIVEN_BY_PROMETHEUS = {"job", "instance"}
LABEL_VALUES = {
    "outcome": set(get_args(CallResult)),
    "to": set(CIRCUIT_VALUES),
    "le": {str(float(bound)) for bound in BUCKETS},
    "reason": {kind.value for kind in FailureKind}
    | {*TRIPS, "reset", "trial_failed", "recovered", "hold_changed", "released"}
    | set(get_args(get_type_hints(RetryDenied)["reason"])),
}


def series() -> dict[str, set[str]]:
    """The name of each series that a scrape can hold, with its labels."""
    found: dict[str, set[str]] = {}
    for family in Families().all():
        labels, name = set(family._labelnames), family._name
        match family:
            case Counter():
                found[f"{name}_total"] = labels
            case Histogram():
                found |= {f"{name}_count": labels, f"{name}_sum": labels}
                found[f"{name}_bucket"] = {*labels, "le"}
            case Gauge():
                found[name] = labels
    return found


SERIES = series()


def alerts() -> list[dict]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def queries() -> list[tuple[str, str]]:
    """Every query that we hand out, with where it stands."""
    asked = re.findall(r"\*\*([^*]+)\*\*[^`]*?```promql\n(.*?)```", PAGE, flags=re.DOTALL)
    panels = [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]
    marks = [(mark["name"], mark["expr"]) for mark in DASHBOARD["annotations"]["list"]]
    return [*asked, *panels, *marks, *((rule["alert"], rule["expr"]) for rule in alerts())]


def check(query: str) -> None:
    """Fails when a query does not parse, or names what no scrape holds."""
    for variable in ("$__rate_interval", "$__interval"):
        query = query.replace(variable, "5m")

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            labels = SERIES[node.name]
            for matcher in node.matchers.matchers:
                assert matcher.name in labels, (node.name, matcher.name)
                wanted = set(matcher.value.split("|"))
                closed = LABEL_VALUES.get(matcher.name, wanted)
                assert wanted <= closed, (node.name, matcher.name, wanted)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            known = set().union(*SERIES.values()) | GIVEN_BY_PROMETHEUS
            assert set(node.modifier.labels) <= known, node.modifier.labels
        return True

    promql_parser.walk(promql_parser.parse(query), visit)


def test_no_query_is_overlooked() -> None:
    """Every block of PromQL on the page stands under a question, and is checked below."""
    pages = [query for _, query in queries() if query in PAGE]
    assert len(pages) >= PAGE.count("```promql") > 15


@pytest.mark.parametrize(("place", "query"), queries())
def test_queries_name_what_exists(place, query) -> None:
    """Each query of docs, dashboard and alerts parses; its metrics, labels and values exist."""
    assert place
    check(query)


@pytest.mark.parametrize(
    "query",
    [
        "sum(rate(multirouter_calls_total[5m])",
        "multirouter_calls",
        'multirouter_calls_total{provider="openai"}',
        'multirouter_calls_total{outcome="succeeded"}',
        "sum by (root) (multirouter_calls_total)",
    ],
)
def test_the_check_can_fail(query) -> None:
    """A query with a slip in syntax, name, label, value or grouping is found out."""
    with pytest.raises((ValueError, KeyError, AssertionError)):
        check(query)


def test_the_page_lists_every_family() -> None:
    """The table of docs/metrics.md is the families: names, types, labels, meaning, in order."""
    types = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}
    told = re.findall(
        r"^\| `(multirouter_\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE
    )
    families = [
        (
            f"{family._name}_total" if type(family) is Counter else family._name,
            types[type(family)],
            ", ".join(family._labelnames),
            family._documentation,
        )
        for family in Families().all()
    ]
    assert told == families


def test_the_page_answers_with_every_family() -> None:
    """No family is counted that answers no question of the page."""
    answered = " ".join(query for _, query in queries())
    names = {name.removesuffix("_bucket").removesuffix("_sum") for name in SERIES}
    assert {name for name in names if name.removesuffix("_count") not in answered} == set()


def test_the_page_lists_every_alert() -> None:
    """The table of alerts names each rule with its severity, and no other."""
    told = re.findall(r"^\| `(Multirouter\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert told == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]


def test_alerts_say_what_happened() -> None:
    """Each rule has a severity, a summary and a description, and uses labels its query keeps."""
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])[0].split(", ")
        used = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert set(used) <= set(kept), rule["alert"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_alerts_fire_in_an_outage() -> None:
    """Prometheus itself evaluates the rules over the outage of alerts_test.yml."""
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"],
        cwd=ALERTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_hangs_together() -> None:
    """Panels have ids of their own, do not overlap, and read the chosen data source."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert taken.isdisjoint(cells), panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
    known = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", " ".join(query for _, query in queries())))
    assert {name for name in used if not name.startswith("__")} <= known
