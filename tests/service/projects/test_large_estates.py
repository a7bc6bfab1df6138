"""What grows with an estate: an apply has read it before it is answered, a plan reads its seats in pieces."""

from __future__ import annotations

import pytest

from master.domain.seats.seats import Seat
from master.service.projects import planning
from master.store.backends.database import Tx
from tests.support.masters import PROJECT, InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project

_PBXS = dict.fromkeys(("berlin", "paris", "rome", "oslo"), "slave 12 gateway")


async def test_an_estate_is_read_before_its_pbxs_ask(master: InProcess) -> None:
    for ports in (5, 7):
        applied = await master.wire.apply(project({"PBX-Port12": ports}))
        known = master.running.estates._by_project[PROJECT].estate
        assert (known.revision, "installations" in vars(known)) == (applied.revision, True)


@pytest.mark.parametrize("page", [1, 2, 3, 5_000])
async def test_every_seat_is_planned_with_once(master: InProcess, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(planning, "_PAGE_SEATS", page)
    await master.wire.apply(project({"PBX-Port12": 20}, pbxs=_PBXS))
    for held, name in enumerate(_PBXS):
        if held:
            granted(await (await opened(master.wire, name)).acquire(*seats("port", held)))
    running = master.running

    def look(tx: Tx) -> list[Seat]:
        return list(planning._situation(tx, running.estates, PROJECT, running.lease_time()).seats)

    outcome = await running.database.read(look)
    assert len(outcome) == len({(seat.pbx_id, seat.key) for seat in outcome}) == 6
