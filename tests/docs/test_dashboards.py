"""The Grafana dashboard and the alert rules ask for metrics and labels that there are, and leave out none that matters."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT
from wardgate.audit.incidents import IncidentKind
from wardgate.delivery.worker import AttemptOutcome
from wardgate.metrics import BY_NAME, CATALOGUE, RESULTS, STEPS, WORKER

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "wardgate.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
GUIDE = (ROOT / "docs" / "operator-guide.md").read_text()

# What Prometheus itself adds, and what only the alert about the scrape itself uses.
OF_PROMETHEUS = {"instance", "job", "le"}
NAME = re.compile(r"\b(?:wardgate|process)_[a-z_]+\b")
SELECTOR = re.compile(r"\b((?:wardgate|process)_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')
BY = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every query with the name of where it stands."""
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    yield from ((each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)


QUERIES = list(expressions())


def metric_of(name: str) -> str:
    """The metric whose series this is: a histogram has three."""
    for end in ("_bucket", "_sum", "_count"):
        whole = name.removesuffix(end)
        if whole != name and whole in BY_NAME and BY_NAME[whole].buckets:
            return whole
    return name


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_a_query_asks_for_metrics_and_labels_that_there_are(place: str, query: str) -> None:
    names = set(NAME.findall(query))
    assert names or query.startswith("up{")
    metrics = {metric_of(name) for name in names}
    assert metrics <= set(BY_NAME), place
    labels = {label for name in metrics for label in BY_NAME[name].labels} | OF_PROMETHEUS
    labels |= {WORKER} if any(not BY_NAME[name].shared for name in metrics) else set()
    for name, inner in SELECTOR.findall(query):
        own = {*BY_NAME[metric_of(name)].labels, *OF_PROMETHEUS, *(() if BY_NAME[metric_of(name)].shared else (WORKER,))}
        assert {label for label, _ in MATCHER.findall(inner)} <= own, place
    for listed in BY.findall(query):
        assert {label.strip() for label in listed.split(",")} <= labels, place


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_a_histogram_is_asked_for_by_its_parts_and_nothing_else_is(place: str, query: str) -> None:
    for name in NAME.findall(query):
        assert (metric_of(name) != name) == bool(BY_NAME[metric_of(name)].buckets), (place, name)


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_a_counter_is_asked_for_by_its_rate(place: str, query: str) -> None:
    for name in NAME.findall(query):
        if BY_NAME[metric_of(name)].kind != "gauge":
            assert re.search(rf"(?:rate|increase)\({name}\b", query), (place, name)


def test_values_of_labels_are_those_that_the_code_writes() -> None:
    known = {
        "result": set(RESULTS),
        "step": set(STEPS),
        "kind": {kind.value for kind in IncidentKind},
        "outcome": {outcome.value for outcome in AttemptOutcome},
    }
    seen = set()
    for place, query in QUERIES:
        for label, value in MATCHER.findall(query):
            if label in known:
                seen.add(label)
                assert set(value.split("|")) <= known[label], place
    assert seen == set(known)


def test_the_dashboard_shows_every_metric() -> None:
    shown = {metric_of(name) for place, query in QUERIES for name in NAME.findall(query)}
    assert {metric.name for metric in CATALOGUE} - shown == set()


def test_the_dashboard_is_put_together_soundly() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "node", "worker"}
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 15
    for rule in RULES:
        assert rule["alert"].startswith("Wardgate")
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_guide_names_the_files() -> None:
    for file in ("deploy/grafana/wardgate.json", "deploy/prometheus/alerts.yml"):
        assert file in GUIDE
        assert (ROOT / file).is_file()
