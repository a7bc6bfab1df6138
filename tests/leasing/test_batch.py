"""What requests of one batch leave to each other, in an order that a socket cannot promise."""

from licensemaster.api_enums import HolderKind
from master.app import load_catalogs
from master.domain.leases import LeaseTime
from master.domain.seats import Want
from master.domain.versions import Version
from master.leasing.apply import ApplyProject, apply_project
from master.leasing.batch import Batch
from master.leasing.estates import Estates
from master.leasing.requests import (
    AcquireSeats,
    LeaseGranted,
    OpenLease,
    PbxName,
    ReclaimSeats,
    Request,
    SeatsReclaimed,
)
from master.rpc.convert.incoming import project_spec
from master.settings import load_settings
from master.store.database import open_database
from master.store.integrity import counter_mismatches
from master.store.rehearsal import Rehearsals
from tests.support.estates import project

BERLIN = PbxName("acme", "berlin")


def _at(now: float) -> LeaseTime:
    return LeaseTime.at(now, clock_allowance_seconds=5)


def opening(request_id: str) -> OpenLease:
    return OpenLease(pbx=BERLIN, caller="test", instance_id="one", request_id=request_id, software=Version(12))


async def test_a_lease_that_expires_and_is_opened_in_one_batch_starts_with_nothing(sqlite_database_url: str) -> None:
    settings = load_settings(None, database_url=sqlite_database_url)
    catalogs = load_catalogs(settings)
    estates = Estates(catalogs, settings.pace)
    database = open_database(sqlite_database_url)
    spec = project_spec(project({"PBX-Port12": 5}, ttl_seconds=60, grace_seconds=0))
    applied = ApplyProject(spec=spec, caller="test", request_id="apply", dry_run=False)

    async def run(now: float, *requests: Request[object]) -> list[object]:
        return await database.transact(lambda tx: Batch(tx, estates, _at(now)).run(requests))

    try:
        await apply_project(database, Rehearsals(database), applied, estates, _at(0))
        await run(100, opening("first"))
        wants = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(3)]
        await run(101, AcquireSeats(pbx=BERLIN, caller="test", proven=None, epoch=1, wants=wants))
        reclaim = ReclaimSeats(pbx=BERLIN, caller="test", holders_max=1)
        reclaimed, granted = await run(200, reclaim, opening("second"))
        assert isinstance(reclaimed, SeatsReclaimed)
        assert isinstance(granted, LeaseGranted)
        assert granted.lease.epoch == 2
        assert granted.holdings == {}
        assert await database.read(counter_mismatches) == []
    finally:
        await database.close()
