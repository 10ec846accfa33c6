"""The queries of docs, alerts and dashboard parse and name existing metrics and labels."""

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

from multirouter.core.events import RetryDenied
from multirouter.listeners.metrics.families import TRIP_REASONS, Families
from multirouter.listeners.metrics.family_makers import BUCKETS
from multirouter.listeners.metrics.gauges import CIRCUIT_VALUES
from multirouter.model import CallResult, FailureKind

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/multirouter.json").read_text(encoding="utf-8"))

PROMETHEUS_LABELS = {"job", "instance"}
LABEL_VALUES = {
    "outcome": set(get_args(CallResult)),
    "to": set(CIRCUIT_VALUES),
    "le": {str(float(bound)) for bound in BUCKETS},
    "reason": {kind.value for kind in FailureKind}
    | {*TRIP_REASONS, "timer", "trial_failed", "recovered", "held", "released"}
    | set(get_args(get_type_hints(RetryDenied)["reason"])),
}


def series() -> dict[str, set[str]]:
    """The names of all series of a scrape, with their labels."""
    found: dict[str, set[str]] = {}
    for family in Families().all():
        labels, name = set(family.label_names), family.name
        match family.kind:
            case "counter":
                found[f"{name}_total"] = labels
            case "histogram":
                found |= {f"{name}_count": labels, f"{name}_sum": labels}
                found[f"{name}_bucket"] = {*labels, "le"}
            case _:
                found[name] = labels
    return found


SERIES = series()


def alerts() -> list[dict]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def queries() -> list[tuple[str, str]]:
    """Every query of docs, dashboard and alerts, with its title."""
    documented = re.findall(r"\*\*([^*]+)\*\*[^`]*?```promql\n(.*?)```", PAGE, flags=re.DOTALL)
    panels = [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]
    marks = [(mark["name"], mark["expr"]) for mark in DASHBOARD["annotations"]["list"]]
    return [*documented, *panels, *marks, *((rule["alert"], rule["expr"]) for rule in alerts())]


def check(query: str) -> None:
    """Fails if a query does not parse, or names a metric, label or value that does not exist."""
    for variable in ("$__rate_interval", "$__interval"):
        query = query.replace(variable, "5m")

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            labels = SERIES[node.name]
            for matcher in node.matchers.matchers:
                assert matcher.name in labels, (node.name, matcher.name)
                used_values = set(matcher.value.split("|"))
                closed = LABEL_VALUES.get(matcher.name, used_values)
                assert used_values <= closed, (node.name, matcher.name, used_values)
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            known = set().union(*SERIES.values()) | PROMETHEUS_LABELS
            assert set(node.modifier.labels) <= known, node.modifier.labels
        return True

    promql_parser.walk(promql_parser.parse(query), visit)


def test_every_query_of_the_page_is_checked() -> None:
    """Every PromQL block of the page follows a bold question, so `queries` finds it."""
    pages = [query for _, query in queries() if query in PAGE]
    assert len(pages) >= PAGE.count("```promql") > 15


@pytest.mark.parametrize(("place", "query"), queries())
def test_queries_name_existing_series(place, query) -> None:
    """Each query parses, and its metrics, labels and label values exist."""
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
def test_an_invalid_query_fails_the_check(query) -> None:
    """A mistake in syntax, name, label, value or grouping fails."""
    with pytest.raises((ValueError, KeyError, AssertionError)):
        check(query)


def test_the_page_lists_every_family() -> None:
    """The page's table has all families in order: name, type, labels, meaning."""
    documented = re.findall(
        r"^\| `(multirouter_\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE
    )
    families = [
        (
            f"{family.name}_total" if family.kind == "counter" else family.name,
            family.kind,
            ", ".join(family.label_names),
            family.documentation,
        )
        for family in Families().all()
    ]
    assert documented == families


def test_every_family_has_a_query() -> None:
    """Each family is used by a query of docs, dashboard or alerts."""
    used = " ".join(query for _, query in queries())
    names = {name.removesuffix("_bucket").removesuffix("_sum") for name in SERIES}
    assert {name for name in names if name.removesuffix("_count") not in used} == set()


def test_the_page_lists_every_alert() -> None:
    """The table of alerts has each rule with its severity, in order."""
    documented = re.findall(r"^\| `(Multirouter\w+)` \| (\w+) \|", PAGE, re.MULTILINE)
    assert documented == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]


def test_alerts_have_severity_and_annotations() -> None:
    """Each rule has a severity, a summary and a description, with labels of its query."""
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])[0].split(", ")
        used = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert set(used) <= set(kept), rule["alert"]


def test_every_alert_is_expected_to_fire() -> None:
    """By a test of alerts_test.yml, whose series are those of a scrape; this needs no promtool."""
    text = ALERTS.with_name("alerts_test.yml").read_text(encoding="utf-8")
    tests = yaml.safe_load(text)["tests"]
    expected = str([one["exp_samples"] for test in tests for one in test["promql_expr_test"]])
    for one in (one for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]):
        expected += f'"{one["alertname"]}"'
    assert [rule["alert"] for rule in alerts() if f'"{rule["alert"]}"' not in expected] == []
    for series in (one["series"] for test in tests for one in test["input_series"]):
        name, labels = re.fullmatch(r"(\w+)\{(.*)\}", series).groups()
        assert set(re.findall(r"(\w+)=", labels)) == SERIES[name] | PROMETHEUS_LABELS, series


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
def test_alerts_fire_in_an_outage() -> None:
    """Promtool evaluates the rules over the outage of alerts_test.yml."""
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"],
        cwd=ALERTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_consistent() -> None:
    """Panels have unique ids, do not overlap, and use the selected data source."""
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


def test_the_page_names_the_rows_of_the_dashboard() -> None:
    """In their order."""
    rows = [panel["title"].lower() for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert f"rows: {'; '.join(rows)}." in PAGE


def test_the_dashboard_shows_the_whole_fleet() -> None:
    """Each metric of the shared state has a panel."""
    shown = " ".join(
        target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
    )
    names = {family.name for family in Families().all() if "_sharing_" in family.name}
    assert len(names) == 5
    assert {name for name in names if name not in shown} == set()
