"""What a plan says of a change is what happens when the change is made and everybody asks anew."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from licensemaster.v1 import plan_pb2, project_pb2, seat_pb2, status_pb2
from tests.domain.catalogs import INNOVAPHONE
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, seat
from tests.support.projects.estates import project
from tests.support.projects.plans import rebind, release, upgrade

PBXS = {"berlin": "slave 11 gateway", "vm": "slave 11 ipva"}
NAMES = ("hq", *PBXS)
SOFTWARE_NOW = "11"
USERS = ("anna", "bert", "cleo", "dora")

bought = st.lists(
    st.tuples(
        st.sampled_from(["PBX-Port", "PBX-Port", "PBX-IPVA", "PBX UC", "PBX-myPBX", "PBX Video", "PBX-Fax"]),
        st.sampled_from([12, 12, 13]),
        st.integers(1, 3),
        st.sampled_from(["hq-box"] * 6 + ["berlin-box", "vm-box", ""]),
    ),
    min_size=6,
    max_size=12,
)
asked = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(["port", "port", "uc", "mypbx", "video", "fax"]),
        st.sampled_from(USERS),
    ),
    min_size=20,
    max_size=35,
    unique=True,
)
changed = st.lists(
    st.one_of(
        st.tuples(st.just("upgrade"), st.sampled_from(["10", "12", "13"]), st.sampled_from(["", *NAMES])),
        st.tuples(st.just("release"), st.integers(0, 11), st.just("")),
        st.tuples(st.just("release"), st.integers(0, 11), st.just("")),
        st.tuples(st.just("rebind"), st.integers(0, 11), st.sampled_from(["hq-box", "berlin-box", "vm-box"])),
    ),
    min_size=1,
    max_size=4,
)


class History:
    """A project of its own: bought, asked for, planned, changed, asked for anew."""

    def __init__(self, master: InProcess, name: str, licenses: list[tuple[str, int, int, str]]) -> None:
        self.master = master
        self.project = project({}, pbxs={"hq": f"master {SOFTWARE_NOW} ipva", **PBXS})
        self.project.name = name
        for number, (printed, version, quantity, bought_for) in enumerate(licenses):
            device = bought_for if _fits(printed, bought_for) else "vm-box"
            self.project.licenses.add(
                id=f"license-{number}", type=f"{printed}{version}", quantity=quantity, device=device
            )
        self.pbxs = {pbx: BarePbx(master.wire, pbx) for pbx in NAMES}
        for pbx, bare in self.pbxs.items():
            bare.name = f"projects/{name}/pbxs/{pbx}"
        self.software = dict.fromkeys(NAMES, SOFTWARE_NOW)

    async def acquire(self, wants: list[tuple[str, str, str]]) -> None:
        await self.master.wire.apply(self.project)
        for pbx in NAMES:
            await self.pbxs[pbx].open(SOFTWARE_NOW)
        for pbx, license_type, user in wants:
            self.master.clock.advance(1)
            await self.pbxs[pbx].acquire(seat(license_type, user))

    async def held(self) -> list[status_pb2.HeldSeat]:
        request = status_pb2.ListSeatsRequest(project=f"projects/{self.project.name}", page_size=1000)
        actual = (await self.master.wire.status.ListSeats(request)).seats
        return [each for each in actual if not (each.included_in and each.basis == seat_pb2.BASIS_DEBITED)]

    def thought_of(self, changes: list[tuple[str, str | int, str]]) -> list[plan_pb2.PlannedChange]:
        """The changes as they are asked about; what happens then is written into the project as well."""
        asked_about = []
        for kind, what, where in changes:
            license = self.project.licenses[int(what) % len(self.project.licenses)]
            if kind == "upgrade":
                asked_about.append(upgrade(str(what), f"site-{where}" if where else ""))
                self.software |= dict.fromkeys([where] if where else NAMES, str(what))
            elif kind == "release":
                asked_about.append(release(license.id))
                license.device = "" if _movable(license) else license.device
            else:
                asked_about.append(rebind(license.id, to=where))
                stays = license.device and not _movable(license)
                license.device = where if _fits(license.type, where) and not stays else license.device
        return asked_about

    async def ask_anew(self, seats: list[status_pb2.HeldSeat]) -> Counter[tuple[str, str, int]]:
        """Make the change and have everyone ask: what others need first, then the oldest. The refusals."""
        for pbx in self.pbxs.values():
            await pbx.close()
        await self.master.wire.apply(self.project)
        for name, pbx in self.pbxs.items():
            await pbx.open(self.software[name])
        refused: Counter[tuple[str, str, int]] = Counter()
        kept: dict[str, list[seat_pb2.Seat]] = {pbx.name: [] for pbx in self.pbxs.values()}
        rank = INNOVAPHONE.rank
        seats = sorted(seats, key=lambda held: (rank[held.seat.license_type], held.acquire_time.ToMicroseconds()))
        for held in seats:
            pbx = self.pbxs[held.pbx.rpartition("/")[2]]
            (result,) = await pbx.acquire(held.seat)
            if result.HasField("refused"):
                refused[held.pbx, held.seat.license_type, result.refused.reason] += 1
            else:
                kept[pbx.name].append(held.seat)
        for pbx in self.pbxs.values():
            synced = await pbx.sync(*kept[pbx.name])
            assert all(result.granted.already_held for result in synced.results)
        return refused


def _movable(license: project_pb2.License) -> bool:
    return not license.type.startswith("PBX-IPVA")  # D4


def _fits(printed: str, device: str) -> bool:
    return not printed.startswith("PBX-IPVA") or device != "berlin-box"  # D4


@settings(max_examples=30)
@given(licenses=bought, wants=asked, changes=changed)
def check(
    runner: asyncio.Runner,
    master: InProcess,
    numbers: itertools.count[int],
    licenses: list[tuple[str, int, int, str]],
    wants: list[tuple[str, str, str]],
    changes: list[tuple[str, str | int, str]],
) -> None:
    async def story() -> None:
        history = History(master, f"history-{next(numbers)}", licenses)
        await history.acquire(wants)
        seats = await history.held()
        request = plan_pb2.PlanChangesRequest(
            project=f"projects/{history.project.name}", changes=history.thought_of(changes)
        )
        response = await master.wire.plans.PlanChanges(request)
        foreseen = Counter(
            {
                (refused_seats.pbx, refused_seats.license_type, int(refused_seats.reason)): refused_seats.seats
                for refused_seats in response.refused
            }
        )
        assert foreseen == await history.ask_anew(seats)

    runner.run(story())


def test_a_plan_foretells_the_refusals(sqlite_database_url: str) -> None:
    with asyncio.Runner() as runner:
        started = in_process_master(sqlite_database_url, Clock(), ttl_seconds=86_400)
        master = runner.run(started.__aenter__())
        try:
            check(runner, master, itertools.count(1))
        finally:
            runner.run(started.__aexit__(None, None, None))
