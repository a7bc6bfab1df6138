"""What is installed is what was chosen: every dependency pinned, whole, and under a license that allows its use.

Known vulnerabilities need a service to ask: `make audit` does, where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
OURS = {"license-master", "license-master-slave-client"}
PERMISSIVE = re.compile(r"apache|\bmit\b|bsd|\bpsf\b|psf-2|python software foundation|\bisc\b|mpl-2\.0|unlicense", re.I)


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


@cache
def _needed(distribution: str) -> frozenset[str]:
    """What a distribution needs here, extras that were asked for included, and what that needs."""
    found: set[str] = set()
    _walk(distribution, frozenset(), found)
    return frozenset(found)


def _walk(distribution: str, extras: frozenset[str], found: set[str]) -> None:
    for requirement in _requirements(distribution, extras):
        name = canonicalize_name(requirement.name)
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key not in found:
            found.add(key)
            _walk(name, frozenset(requirement.extras), found)


def _requirements(distribution: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker is None or any(requirement.marker.evaluate(one) for one in wanted):
            yield requirement


RUNTIME = sorted({key.split("[")[0] for key in _needed("license-master")} - OURS)


@pytest.mark.parametrize("name", RUNTIME)
def test_a_dependency_is_pinned_and_installed_as_pinned(name: str) -> None:
    assert metadata.version(name) == _pinned().get(name), "pin it in constraints.txt"


@pytest.mark.parametrize("name", RUNTIME)
def test_a_dependency_may_be_used_and_passed_on(name: str) -> None:
    about = metadata.metadata(name)
    said = [text for key in ("License-Expression", "License", "Classifier") for text in about.get_all(key) or ()]
    assert any(PERMISSIVE.search(text) for text in said), f"{name} says {said}"


def test_dependencies_fit_together() -> None:
    for name in RUNTIME:
        for requirement in _requirements(name, frozenset()):
            assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), (
                f"{name} needs {requirement}"
            )
