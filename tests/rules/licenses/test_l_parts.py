"""Rules A3, F5, I5, L5: every view tells the parts of a pool alike, they add up, and free means grantable."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import license_pb2, status_pb2
from master.metrics import EstateCollector
from tests.rules.asking import status
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, standing_by
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, moved, release

PARTS = ("used", "promised", "leaving", "withheld", "free")


async def _parts(master: InProcess, license_type: str, device: str) -> dict[str, int]:
    """The parts of a pool as the API tells them; they add up, and the metrics say the same."""
    pools = (await status(master.wire)).pools
    (pool,) = [
        other_pool for other_pool in pools if (other_pool.license_type, other_pool.device) == (license_type, device)
    ]
    collected = {part: getattr(pool, part) for part in PARTS}
    assert sum(collected.values()) == pool.capacity
    overviews = await master.running.status.overviews()
    for family in EstateCollector(lambda: overviews).collect():
        name = family.name.removeprefix("license_master_pool_")
        if name in collected:
            (value,) = [
                sample.value
                for sample in family.samples
                if (sample.labels["type"], sample.labels["device"]) == (license_type, device)
            ]
            assert value == collected[name]
    return collected


@pytest.mark.rule("L5", "A3")
@pytest.mark.parametrize("device", ["hq-box", "berlin-box"])
async def test_what_is_being_released_is_not_free(master: InProcess, tmp_path: Path, device: str) -> None:
    wire = master.wire
    await wire.apply(project({}))
    licenses = {"stays": ("PBX-Port12", 30), "goes": ("PBX-Port12", 30)}
    await imported(wire, Vendor(), licenses, now=master.clock.now)
    await bind(wire, device, "stays", "goes")
    await enrolled(wire, tmp_path, device)
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 30)))
    moved(await release(wire, "goes", in_use=license_pb2.IN_USE_DRAIN))
    expected = {"used": 30, "promised": 0, "leaving": 30, "withheld": 0, "free": 0}
    assert await _parts(master, "port", device) == expected
    asked = status_pb2.ExplainSeatsRequest(pbx=berlin.name, seats=seats("port", 1, "new"))
    explained = await wire.status.ExplainSeats(asked)
    assert f"PBX-Port is debited from {device}: 30 of 60 in use, 30 being released, 0 free" in explained.reasoning
    for result in (explained.results[0], (await berlin.acquire(*seats("port", 1, "new")))[0]):
        (refusal,) = refused([result])
        assert "being released (30)" in refusal.message
    await berlin.give_back(*seats("port", 10))
    assert await _parts(master, "port", device) == {**expected, "used": 20, "free": 10}
    assert [outcome.HasField("granted") for outcome in await berlin.acquire(*seats("port", 11, "new"))] == [
        True
    ] * 10 + [False]


@pytest.mark.rule("F5", "I5", "F2")
async def test_what_is_promised_and_what_is_withheld(master: InProcess) -> None:
    wire = master.wire
    old_model = {"PBX-Voicemail12": 1, "PBX-Voicemail12%1": 4}
    await wire.apply(project({**LICENSES, **old_model}, pbxs=PAIR))
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 6)))
    spare = await standing_by(wire)
    await spare.renew()
    await berlin.give_back(*seats("port", 2))
    expected = {"used": 4, "promised": 2, "leaving": 0, "withheld": 0, "free": 4}
    assert await _parts(master, "port", "hq-box") == expected
    paris = await opened(wire, "paris")
    assert [result.HasField("granted") for result in await paris.acquire(*seats("port", 5))] == [True] * 4 + [False]
    off = await _parts(master, "voicemail", "hq-box")
    assert (off["withheld"], off["free"]) == (5, 0), "voicemail is off: nobody is granted any"
