"""What the documentation lists is what there is."""

import re
from pathlib import Path

from typer.testing import CliRunner

from master import metrics
from master.auth.callers.permissions import AccessDeniedError, Denial
from master.cli.main import app
from master.cli.server.settings import page
from master.domain.leases.leases import LeaseError, LeaseProblem
from master.domain.leases.loans import LoanError, LoanProblem
from master.domain.monitoring.policy_uses import OVERDRAFT_ENDED, OVERDRAWN
from master.rpc.errors import _PLAIN, failure_of
from master.service.monitoring.audit import NoSuchEventError
from master.service.runtime.errors import StoppedError
from master.store.backends.problems import StorageError, StorageProblem
from slave_client.connection.master_failures import _BY_REASON

ROOT = Path(__file__).parent.parent


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_metrics_page_lists_every_metric_and_no_other() -> None:
    in_code = set(re.findall(r'"((?:license_master|grpc_server)_[a-z_]+)"', Path(metrics.__file__).read_text()))
    in_page = set(re.findall(r"^\| `([a-z_]+)`", _text("docs/metrics.md"), flags=re.MULTILINE))
    assert in_page == in_code


def test_each_kind_of_event_that_is_written_has_its_row() -> None:
    in_service = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "master" / "service").rglob("*.py"))
    written = {*re.findall(r'"([a-z_]+\.[a-z_]+)"', in_service), OVERDRAWN, OVERDRAFT_ENDED}
    rows = "".join(re.findall(r"^\| (`[a-z_.`, ]+`) \|", _text("docs/audit.md"), flags=re.MULTILINE))
    assert set(re.findall(r"[a-z_.]{2,}", rows)) == written


def test_each_alert_answers_a_question_of_an_operator() -> None:
    alerts = set(re.findall(r"alert: (\w+)", _text("helm/license-master/files/rules.yaml")))
    assert set(re.findall(r"`(License[A-Z]\w+)`", _text("docs/monitoring.md"))) == alerts


def test_paths_that_the_documentation_names_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        folder = (ROOT / name).parent
        named = re.findall(r"`((?:master|docs|proto|migrations|slave_client|tests|examples)/[\w./-]+)`", _text(name))
        linked = re.findall(r"\]\((?!https?:)([^)#]+)", _text(name))
        assert named or linked
        missing = [path for path in named if not (ROOT / path).exists()]
        missing += [path for path in linked if not (folder / path).exists()]
        assert not missing, f"{name} names {missing}"


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    assert _text("docs/settings.md") == page(), "license-master settings list --markdown > docs/settings.md"


def test_who_speaks_grpc_finds_every_reason_with_its_status() -> None:
    table = re.findall(r"^\| (`[A-Z_`, ]+`) \| ([A-Z_]+) \|", _text("docs/grpc.md"), flags=re.MULTILINE)
    told = {reason: status for reasons, status in table for reason in re.findall(r"\w+", reasons)}
    failures = [failure_of(LeaseError(problem, pbx="", epoch=0)) for problem in LeaseProblem]
    failures += [failure_of(LoanError(problem, "")) for problem in LoanProblem]
    failures += [failure_of(StorageError(problem, "")) for problem in StorageProblem]
    failures += [failure_of(AccessDeniedError(denial, "")) for denial in Denial]
    failures += [failure_of(error) for error in (StoppedError(), NoSuchEventError(), ValueError())]
    known = {failure.reason: failure.code.name for failure in failures}
    assert told == known | {reason: code.name for code, reason in _PLAIN.values()}
    assert told.keys() >= _BY_REASON.keys(), "what the client knows, others need to know"


def test_the_documentation_comes_with_the_command() -> None:
    listed = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["docs"]).output
    for path in (ROOT / "docs").glob("*.md"):
        assert f"{path.stem} " in listed
        assert CliRunner().invoke(app, ["docs", path.stem]).output == path.read_text(encoding="utf-8")
    assert "did you mean 'refusals'?" in str(CliRunner().invoke(app, ["docs", "refusal"]).exception)
