"""Phones that SIPp plays: they register and call, and say what they were answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.sip.programs import Program, free_port
from simulator.sip.site import Kamailio

_SCENARIOS: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Answers:
    """What phones were answered at last, and how often some were told to come back."""

    accepted: frozenset[str]
    refused: frozenset[str]
    told_to_come_back: int


class Phones(Program):
    """Phones that register, each until it is accepted or refused; then the program ends.

    A phone that is told to come back, or is not answered, tries again a second later. `at_a_time` of them wait for an
    answer at most.
    """

    def __init__(
        self,
        folder: Path,
        kamailio: Kamailio,
        users: Sequence[str],
        *,
        at_a_time: int = 200,
        expires_seconds: int = 3600,
    ) -> None:
        self._said = folder / "said.log"
        options = (
            *("-key", "expires", str(expires_seconds), "-l", str(at_a_time), "-r", "40000"),
            *("-default_behaviors", "none"),  # an answer that comes twice ends no phone
        )
        super().__init__(_sipp("register", folder, kamailio, users, *options), log=folder / "sipp.log")

    def answers(self) -> Answers:
        last: dict[str, str] = {}
        later = 0
        for code, user in _said(self._said):
            last[user] = code
            later += code == "503"
        return Answers(
            accepted=frozenset(user for user, code in last.items() if code == "200"),
            refused=frozenset(user for user, code in last.items() if code == "403"),
            told_to_come_back=later,
        )


class Calls(Program):
    """Calls from and to users, all at once; the exit code is 0 where all were answered, and ended by a BYE."""

    def __init__(self, folder: Path, kamailio: Kamailio, pairs: Sequence[tuple[str, str]], *, seconds: float) -> None:
        self._said = folder / "said.log"
        lines = [f"{caller};{callee}" for caller, callee in pairs]
        options = ("-d", str(int(seconds * 1000)), "-r", "1000", "-timeout", "60s")
        super().__init__(_sipp("call", folder, kamailio, lines, *options), log=folder / "sipp.log")

    @property
    def answered(self) -> int:
        """How many were answered so far."""
        return len(_said(self._said))


def _said(file: Path) -> list[tuple[str, str]]:
    """Return the lines of a scenario's log that are whole."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    words = [line.split() for line in lines if line.endswith("\n")]
    return [(line[0], line[1]) for line in words if len(line) == 2]


def _sipp(scenario: str, folder: Path, kamailio: Kamailio, lines: Sequence[str], *options: str) -> list[str]:
    """Make the command that plays a scenario once for each of `lines`, its fields."""
    folder.mkdir(exist_ok=True)
    (folder / "fields.csv").write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    return [
        *("sipp", f"127.0.0.1:{kamailio.sip_port}", "-i", "127.0.0.1", "-p", str(free_port()), "-nostdin"),
        *("-sf", str(_SCENARIOS / f"{scenario}.xml"), "-inf", str(folder / "fields.csv"), "-m", str(len(lines))),
        *("-trace_logs", "-log_file", str(folder / "said.log")),
        *("-trace_err", "-error_file", str(folder / "errors.log"), *options),
    ]
