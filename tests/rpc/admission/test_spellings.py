"""Spellings of one thing are one thing, whoever sends them and however they were typed."""

from __future__ import annotations

import unicodedata

import pytest

from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2, status_pb2
from tests.rpc.failures import NAME
from tests.support.masters import Clock, in_process_master
from tests.support.pbxs.pbx import granted, opened, seat
from tests.support.projects.estates import project

JURGEN = "Jürgen Müller"
SPELLINGS = [
    JURGEN,
    unicodedata.normalize("NFD", JURGEN),
    f"{JURGEN} ",
    "Jürgen  Müller",
    "\ufeffJürgen\u00a0Müller\r\n",
]


@pytest.mark.rule("E3")
async def test_one_user_takes_one_seat_and_gives_it_back(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 2}))
        pbx = await opened(master.wire, "berlin")
        first, *others = granted(await pbx.acquire(*(seat("port", spelling, user=spelling) for spelling in SPELLINGS)))
        assert not first.already_held
        assert all(grant == first for grant in others)
        (again,) = granted(await pbx.acquire(seat("PBX\u2011Port", SPELLINGS[1])))
        assert again.already_held
        (listed,) = (await master.wire.status.ListSeats(status_pb2.ListSeatsRequest(project=NAME))).seats
        assert listed.seat.holder == JURGEN
        actual = (await pbx.sync(*(seat("port", spelling) for spelling in SPELLINGS[1:]), seat("port", "a\nb"))).results
        assert [result.HasField("granted") for result in actual] == [True] * 4 + [False]
        given_back = await pbx.give_back(*(seat("port", spelling) for spelling in SPELLINGS))
        assert [answer.returned for answer in given_back] == [
            True, *[False] * 4
        ]  # fmt: skip


async def test_names_of_things_and_versions(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock) as master:
        sent = project({"PBX\u2013Port\uff11\uff12": 2})
        sent.sites[0].display_name = " Mu\u0308nchen \u200b"
        sent.pbxs[0].site = f"{sent.pbxs[0].site} \n"
        await master.wire.apply(sent)
        applied = (await master.wire.projects.GetProject(project_pb2.GetProjectRequest(name=NAME + "\u00a0"))).project
        assert [site.display_name for site in applied.sites if site.display_name] == ["München"]
        assert [license.type for license in applied.licenses] == ["PBX-Port12"]
        version = "12r1 sr4-hotfix10 [12.5416]"
        opening = lease_pb2.OpenLeaseRequest(
            pbx=f" {NAME}/pbxs/berlin\r\n", instance_id="i", request_id="r", software_version=f"{version}\n"
        )
        await master.wire.leases.OpenLease(opening)
        (status,) = [
            lease
            for lease in (await master.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=NAME))).leases
            if lease.pbx.endswith("/berlin")
        ]
        assert status.software_version == version
        asked = status_pb2.ExplainSeatsRequest(pbx=f"{NAME}/pbxs/berlin", seats=[seat("port", "x", app="13r1 beta 2")])
        (answer,) = (await master.wire.status.ExplainSeats(asked)).results
        assert answer.granted.basis == seat_pb2.BASIS_DEBITED
