"""What dashboards and alerts ask for is what the processes tell."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from dfly.seed.watching.families import FAMILIES

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dfly.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ASKED = {f"panel: {p['title']} {t['refId']}": t["expr"] for p in PANELS for t in p["targets"]}
ASKED |= {f"alert: {rule['alert']}": rule["expr"] for rule in RULES}
#: What Prometheus and its scrape configuration add to every metric.
OUTSIDE = {"job", "instance", "le"}
VALUES = {
    "source": {"hub", "seed-peer", "peer", "cache"},
    "to": {"node", "client", "peer", "dfget"},
    "outcome": {"complete", "withdrawn", "failed"},
    "result": {"hit", "miss"},
}


def samples():
    """What can be asked for: names as they are exposed, with their labels."""
    for family in FAMILIES:
        suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        yield from ((family.name + suffix, set(family.labels)) for suffix in suffixes)


EXPOSED = dict(samples())


@pytest.mark.parametrize("expression", ASKED.values(), ids=ASKED)
def test_every_name_that_is_asked_for_is_told(expression):
    asked = re.findall(r"\b(dfly_\w+)(?:\{([^}]*)\})?", expression)
    assert asked
    labels = set(OUTSIDE)
    for name, matchers in asked:
        assert name in EXPOSED
        for label, value in re.findall(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"', matchers):
            assert label in EXPOSED[name] | OUTSIDE, (name, label)
            if label in VALUES:
                assert set(value.split("|")) <= VALUES[label], (name, label)
        labels |= EXPOSED[name]
    for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", grouped)) <= labels
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)


@pytest.mark.parametrize("expression", ASKED.values(), ids=ASKED)
def test_counters_are_asked_for_as_rates_and_histograms_as_quantiles(expression):
    for name in re.findall(r"\bdfly_\w+", expression):
        if name.endswith(("_total", "_bucket")):
            assert re.search(rf"(rate|increase)\({name}\b", expression), name
        if name.endswith("_bucket"):
            assert re.search(r"histogram_quantile\([\d.]+, sum by \(le\b", expression)


def test_the_dashboard_is_one_that_grafana_takes():
    assert DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD["uid"]
    assert DASHBOARD["id"] is None
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(DASHBOARD))) - {"__rate_interval", "__range", "__all"}
    assert used == variables
    for panel in PANELS:
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_no_panel_lies_on_another():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_it_shows_what_an_operator_wants_to_know():
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Is P2P working?", "Where bytes come from", "Stalls and errors", "Cache", "Tasks"]


def test_every_metric_is_looked_at_somewhere():
    everything = " ".join(ASKED.values())
    assert [family.name for family in FAMILIES if family.name not in everything] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_happened_what_to_do_and_how_urgent_it_is(rule):
    assert re.fullmatch(r"Dfly[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert re.fullmatch(r"\d+m", rule.get("for", "0m"))


def test_alerts_are_explained():
    text = (DEPLOY.parent / "docs" / "observe.md").read_text()
    assert [rule["alert"] for rule in RULES if rule["alert"] not in text] == []
