"""Writes the lists beside it anew: every version of constraints.txt with the hashes that the package index gives.

`make pins` runs it. No list names an index or an address: where packages come from is a setting of pip.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ROOT = HERE.parent
OURS = frozenset({"license-master", "license-master-shared", "license-master-slave-client", "license-master-agent"})
PYPROJECTS = (
    ROOT / "pyproject.toml",
    ROOT / "licensemaster" / "pyproject.toml",
    ROOT / "slave_client" / "pyproject.toml",
    ROOT / "license_agent" / "pyproject.toml",
)
_HEADING = "# {what} Made by `make pins` from constraints.txt.\n"


def runtime() -> frozenset[str]:
    """What a master needs, and what that needs."""
    return _closure([Requirement("license-master")]) - OURS


def agent() -> frozenset[str]:
    """What an agent beside a PBX needs, and what that needs."""
    return _closure([Requirement("license-master-agent")]) - OURS


def build() -> frozenset[str]:
    """What our own packages are built with, and what that needs; pip, which builds them."""
    required = [
        requirement
        for file in PYPROJECTS
        for requirement in tomllib.loads(file.read_text())["build-system"]["requires"]
    ]
    return _closure([Requirement("pip"), *map(Requirement, required)])


def requirements_of(distribution: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What an installed distribution needs here, with these of its extras."""
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker is None or any(requirement.marker.evaluate(environment) for environment in wanted):
            yield requirement


def _closure(roots: Iterable[Requirement]) -> frozenset[str]:
    waiting, seen = list(roots), set[tuple[str, frozenset[str]]]()
    while waiting:
        requirement = waiting.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            waiting += requirements_of(*key)
    return frozenset(name for name, _ in seen)


@cache
def listed(name: str) -> dict[str, str]:
    """The entries of one of the lists, by canonical name: the version and its hashes."""
    return entries((HERE / name).read_text(encoding="utf-8"))


def entries(text: str) -> dict[str, str]:
    """A list's entries by canonical name."""
    matches = re.finditer(r"^([A-Za-z0-9._-]+)==.*(?:\n +--hash=.*)*", text, flags=re.MULTILINE)
    return {canonicalize_name(entry[1]): entry[0] for entry in matches}


def main(pip_compile: str) -> None:
    """Ask the index and write all lists."""
    quiet = [f"--no-{option}" for option in ("header", "annotate", "emit-options", "emit-find-links")]
    nowhere = ["--no-emit-index-url", "--no-emit-trusted-host"]
    how = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--quiet", "--output-file=-"]
    command = [pip_compile, *how, *quiet, *nowhere, str(ROOT / "constraints.txt")]
    known = entries(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    for name, what, chosen in (
        ("development.txt", "All that development and tests need, with hashes.", frozenset(known)),
        ("runtime.txt", "What a master needs, with hashes.", runtime()),
        ("agent.txt", "What an agent beside a PBX needs, with hashes.", agent()),
        ("build.txt", "What our own packages are built with, with hashes.", build()),
    ):
        text = "".join(f"{known[package]}\n" for package in sorted(chosen))
        (HERE / name).write_text(_HEADING.format(what=what) + text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
