"""The alerts have unit tests, which Prometheus runs in tests/slow/test_alerts.py."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.helm.charts import CHART

TESTS = [Path(__file__).parent / name for name in ("rules.test.yaml", "trend.test.yaml")]


def test_every_alert_is_seen_to_come_and_to_stay_away() -> None:
    groups = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    cases = [
        case for file in TESTS for test in yaml.safe_load(file.read_text())["tests"] for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts
