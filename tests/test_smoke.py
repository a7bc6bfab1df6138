from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seats
from tests.support.projects.estates import project


async def test_a_pbx_leases_seats(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 3}))
    berlin = await opened(any_master.wire, "berlin")
    results = await berlin.acquire(*seats("port", 5))
    granted(results[:3])
    assert refused(results[3:])[0].remedy.quantity == 2
    assert [result.returned for result in await berlin.give_back(*seats("port", 5))] == [True] * 3 + [False] * 2
    assert (await berlin.close()).seats_returned == 0
