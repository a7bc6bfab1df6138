"""A PBX and its standby in an estate that can carry its phones."""

from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, BareStandby, standing_by
from tests.support.projects.estates import project

TTL, GRACE, ALLOWANCE = 60, 600, 5


async def paired(master: InProcess, ports: int = 6, **licenses: int) -> tuple[BarePbx, BareStandby]:
    """Berlin holds ports and has gone silent; its standby is connected."""
    await master.wire.apply(project(LICENSES | licenses, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(master.wire, "berlin")
    if ports:
        granted(await berlin.acquire(*seats("port", ports)))
    spare = await standing_by(master.wire)
    master.clock.advance(TTL + 1)
    await spare.renew()
    return berlin, spare
