"""What is installed is what was chosen: every dependency pinned, whole, and under a license that allows its use.

Known vulnerabilities need a service to ask: `make audit` does, where there is one.
"""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from requirements import renew

ROOT = Path(__file__).parent.parent
PERMISSIVE = re.compile(r"apache|\bmit\b|bsd|\bpsf\b|psf-2|python software foundation|\bisc\b|mpl-2\.0|unlicense", re.I)


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


RUNTIME = sorted(renew.runtime() | renew.agent())
LISTS = ("development.txt", "runtime.txt", "agent.txt", "build.txt")
_ENTRY = re.compile(r"[a-zA-Z0-9._-]+==[^\s\\]+( \\\n    --hash=sha256:[0-9a-f]{64})+")


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
        for requirement in renew.requirements_of(name, frozenset()):
            assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), (
                f"{name} needs {requirement}"
            )


def test_what_is_installed_is_known_by_its_hashes() -> None:
    """Development, a master, an agent and what builds them; `make pins` writes the lists."""
    lists = {name: renew.listed(name) for name in LISTS}
    assert {name: set(actual) for name, actual in lists.items()} == {
        "development.txt": set(_pinned()), "runtime.txt": renew.runtime(),
        "agent.txt": renew.agent(), "build.txt": renew.build(),
    }  # fmt: skip
    for name, actual in lists.items():
        for package, entry in actual.items():
            assert _ENTRY.fullmatch(entry), f"{name}: {entry}"
            assert entry.startswith(lists["development.txt"][package].partition(" ")[0])
            assert entry.partition("==")[2].partition(" ")[0] == _pinned()[package], f"{name}: make pins"
        entries = "".join(f"{entry}\n" for entry in actual.values())
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        assert text.partition("\n")[2] == entries, f"{name}: something that is no entry, an address maybe"


def test_what_builds_our_packages_is_pinned() -> None:
    for file in renew.PYPROJECTS:
        for text in tomllib.loads(file.read_text(encoding="utf-8"))["build-system"]["requires"]:
            requirement = Requirement(text)
            assert str(requirement.specifier) == f"=={_pinned()[canonicalize_name(requirement.name)]}", file


@pytest.mark.parametrize("file", ["Makefile", "Containerfile", "license_agent/Containerfile"])
def test_nothing_is_installed_but_by_hash_or_from_these_sources(file: str) -> None:
    """Tools that only look at the result, each in an environment of its own, are pinned by version."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&\n;]*", text)
    assert commands
    for command in commands:
        by_hash = "--require-hashes" in command and "requirements/" in command
        ours = "--no-deps" in command and ("--no-build-isolation" in command or "--no-index" in command)
        tool = re.search(r" [a-z-]+==[0-9.]+\s*$", command)
        assert by_hash or ours or (tool and file == "Makefile"), command
