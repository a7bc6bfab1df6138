"""The rules and the dashboard that the chart ships: Prometheus takes the rules, and all metrics named exist."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.charts import CHART
from tests.support.network.prometheus import program

RULES = CHART / "files" / "rules.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
METRICS_PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
SUFFIXES = ("_bucket", "_sum", "_count")
METRIC = re.compile(r"\b(?:license_master|grpc_server)[a-z0-9_:]*\b")

ALERT = re.compile(r'ALERTS_FOR_STATE\{alertname=~?"([^"]+)"')


@cache
def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@cache
def panels() -> list[dict[str, Any]]:
    collected: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return collected


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]


@cache
def known() -> set[str]:
    page = set(re.findall(r"^\| `([a-z_]+)`", METRICS_PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return page | {rule["record"] for rule in rules() if "record" in rule}


def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run([program("promtool"), "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@pytest.mark.parametrize("expression", expressions())
def test_metrics_that_are_asked_for_exist(expression: str) -> None:
    named, alerts = set(METRIC.findall(expression)), set(ALERT.findall(expression))
    assert named or alerts
    assert {name for names in alerts for name in names.split("|")} <= {rule.get("alert") for rule in rules()}
    plain = {next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name) for name in named}
    assert plain <= known()


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_names_are_unique() -> None:
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    assert len(set(names)) == len(names)


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    identifiers = [panel["id"] for panel in panels()]
    assert len(set(identifiers)) == len(identifiers)
