"""What the documentation lists is what there is."""

import re
from pathlib import Path

from master import metrics

ROOT = Path(__file__).parent.parent


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_metrics_page_lists_every_metric_and_no_other() -> None:
    in_code = set(re.findall(r'"((?:license_master|grpc_server)_[a-z_]+)"', Path(metrics.__file__).read_text()))
    in_page = set(re.findall(r"^\| `([a-z_]+)`", _text("docs/metrics.md"), flags=re.MULTILINE))
    assert in_page == in_code


def test_paths_that_the_documentation_names_exist() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        named = re.findall(r"`((?:master|docs|proto|migrations|slave_client|tests|examples)/[\w./-]+)`", _text(page))
        assert named
        missing = [path for path in named if not (ROOT / path).exists()]
        assert not missing, f"{page} names {missing}"
