"""The alerts, by Prometheus's own unit tests: each comes when it should and not before."""

from __future__ import annotations

import subprocess

from tests.monitoring.test_rules import TESTS
from tests.support.network.prometheus import program


def test_promtool_runs_the_unit_tests() -> None:
    done = subprocess.run([program("promtool"), "test", "rules", *TESTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
