"""Rule L5, seats that were taken away: they go whatever else happens, and nothing new leans on them meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2, license_pb2, seat_pb2
from tests.rules.asking import Reason, grant_all, refuse, used
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, opened, seat
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release


async def _revoked(pbx: BarePbx) -> set[tuple[str, str]]:
    """What the PBX is told to give back."""
    notices = (await pbx.renew()).notices
    named = [notice.seats for notice in notices if notice.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED]
    return {(seat.license_type, seat.holder) for seats in named for seat in seats}


async def _lent(master: InProcess, folder: Path, printed: str, **declared: int) -> BarePbx:
    """One license of a type, which the vendor's file brought; a PBX that is connected."""
    wire = master.wire
    await wire.apply(project({name.replace("_", " "): count for name, count in declared.items()}))
    await imported(wire, Vendor(), {"lent": (printed, 1)}, now=master.clock.now)
    await enrolled(wire, folder, "hq-box")
    await bind(wire, "hq-box", "lent")
    return await opened(wire, "berlin")


async def _taken_away(master: InProcess) -> None:
    result = (await release(master.wire, "lent", in_use=license_pb2.IN_USE_REVOKE))[0]
    assert result.seats_revoked == 1


@pytest.mark.rule("L5", "H4")
async def test_nothing_new_leans_on_a_seat_that_was_taken_away(any_master: InProcess, tmp_path: Path) -> None:
    berlin = await _lent(any_master, tmp_path, "PBX-myPBX12", PBX_Video12=1)
    await grant_all(berlin, seat("mypbx", "alice"))
    await _taken_away(any_master)
    refusal = await refuse(berlin, seat("video", "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert (await berlin.give_back(seat("mypbx", "alice")))[0].returned
    assert await used(any_master.wire, "mypbx") == (0, 1)


@pytest.mark.rule("L5", "H3")
async def test_nothing_new_is_included_in_a_seat_that_was_taken_away(master: InProcess, tmp_path: Path) -> None:
    berlin = await _lent(master, tmp_path, "PBX UC12", PBX_Fax12=1)
    await grant_all(berlin, seat("uc", "alice"))
    await _taken_away(master)
    (granted,) = await grant_all(berlin, seat("fax", "alice"))
    assert granted.basis == seat_pb2.BASIS_DEBITED
    assert (await berlin.give_back(seat("uc", "alice")))[0].returned
    assert await used(master.wire, "fax") == (1, 1)


@pytest.mark.rule("L5", "H2")
@pytest.mark.parametrize("way", ["return", "sync"])
async def test_a_seat_that_cannot_go_yet_stays_taken_away(master: InProcess, tmp_path: Path, way: str) -> None:
    berlin = await _lent(master, tmp_path, "PBX UC12")
    uc, fax = seat("uc", "alice"), seat("fax", "alice")
    await grant_all(berlin, uc, fax)
    await _taken_away(master)
    assert await _revoked(berlin) == {("uc", "alice"), ("fax", "alice")}
    if way == "return":  # fax, which UC includes, is still there
        refused = (await berlin.give_back(uc))[0].refused
        assert refused.reason == Reason.REFUSAL_REASON_STILL_REQUIRED
    else:
        synced = await berlin.sync(fax)
        assert [kept.seat.license_type for kept in synced.kept] == ["uc"]
    assert await _revoked(berlin) == {("uc", "alice"), ("fax", "alice")}
    assert all(result.returned for result in await berlin.give_back(uc, fax))
    assert await _revoked(berlin) == set()
    assert await used(master.wire, "uc") == (0, 1)
