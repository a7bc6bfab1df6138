"""A real Prometheus, with the rules that the chart ships, scrapes a real master: what goes wrong there, it sees."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.helm.charts import CHART
from tests.monitoring.test_files import panels
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.network.prometheus import Prometheus, running_prometheus
from tests.support.pbxs.pbx import granted, opened, refused, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, imported, item

HOURS = 3600
VARIABLES = {"$project": ".*", "$__range": "1h", "$__rate_interval": "1m"}


@pytest.fixture
async def master(sqlite_database_url: str) -> AsyncIterator[InProcess]:
    """A master whose clock, three hours behind at first, ends up at Prometheus's own."""
    clock = Clock(time.time() - 3 * HOURS)
    async with in_process_master(sqlite_database_url, clock, metrics_listen="127.0.0.1:0") as running:
        yield running


@pytest.fixture
async def prometheus(master: InProcess, tmp_path: Path) -> AsyncIterator[Prometheus]:
    async with running_prometheus(
        tmp_path, metrics_port=master.running.metrics_port, rules=CHART / "files" / "rules.yaml"
    ) as opened:
        yield opened


async def _shortage(master: InProcess) -> None:
    """Paris fell silent three hours ago; berlin has all 5 ports, wants more, and an agreement ends in 30 days."""
    wire, clock = master.wire, master.clock
    pbxs = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}
    await wire.apply(project({"PBX-Port12": 3}, pbxs=pbxs))
    agreement = clock.now + 3 * HOURS + 30 * 86_400
    await imported(wire, Vendor(), {"more": item("more", "PBX-Port12", 2, agreement=agreement)}, now=clock.now)
    await bind(wire, "hq-box", "more")
    await opened(wire, "paris")
    clock.advance(3 * HOURS)
    berlin = await opened(wire, "berlin")
    results = await berlin.acquire(*seats("port", 9))
    granted(results[:5])
    refused(results[5:])


async def test_a_shortage_is_seen(master: InProcess, prometheus: Prometheus) -> None:
    await _shortage(master)
    (used_up,) = await prometheus.alert("LicensePoolUsedUp")
    labels = {"project": "acme", "device": "hq-box", "type": "port", "severity": "warning"}
    assert used_up["labels"] == {"alertname": "LicensePoolUsedUp", **labels}
    assert used_up["annotations"]["summary"] == "port on hq-box (acme): no seat left"
    (since,) = await prometheus.until_answered('ALERTS_FOR_STATE{alertname="LicensePoolUsedUp"}')
    assert time.time() - 120 < float(since["value"][1]) <= time.time()

    (silent,) = await prometheus.alert("LicenseSiteSilent")
    assert (silent["labels"]["site"], silent["labels"]["project"]) == ("site-paris", "acme")
    assert "has been silent for 3h" in silent["annotations"]["summary"]

    (ends,) = await prometheus.alert("LicenseAgreementEnds")
    assert ends["annotations"]["summary"].startswith("The service agreement of port on hq-box (acme) ends in 30d 0h")

    (refusals,) = await prometheus.query('license_master_site_refusals_total{site="site-berlin"}')
    assert float(refusals["value"][1]) == 4
    names = {alert["labels"]["alertname"] for alert in (await prometheus.get("alerts"))["data"]["alerts"]}
    assert not names & {"LicensePoolAlmostUsed", "LicenseMasterWithoutDatabase"}


async def test_every_question_of_the_dashboard_is_understood_and_the_urgent_ones_answered(
    master: InProcess, prometheus: Prometheus
) -> None:
    await _shortage(master)
    await prometheus.until_answered("license_master_pool_used")
    await prometheus.alert("LicensePoolUsedUp")
    await prometheus.until_answered("ALERTS_FOR_STATE")
    answers: dict[str, dict[str, str]] = {}
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression
            for sample in await prometheus.query(expression):
                place = sample["metric"].get("site") or sample["metric"].get("type", "")
                answers.setdefault(panel["title"] + target["refId"], {})[place] = sample["value"][1]
    assert answers["Masters with their databaseA"] == {"": "1"}
    assert answers["Pools used upA"] == {"": "1"}
    assert answers["What is short, and since whenA"] == {"port": "0"}
    assert set(answers["What is short, and since whenB"]) == {"port"}
    assert answers["What is short, and since whenC"] == {"port": "5"}
    silent_since = float(answers["Which sites are silent, and since whenA"]["site-paris"]) / 1000
    assert abs(silent_since - (time.time() - 3 * HOURS)) < 120
    assert set(answers["What expiresA"]) == {"port"}
    assert answers["PBXs overdueA"] == {"": "1"}
