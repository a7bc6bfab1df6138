"""How the rule tests ask: every acquire is explained first, and must then be answered as explained."""

from __future__ import annotations

from collections.abc import Sequence

from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2, status_pb2
from tests.support.databases.truth import adds_up, counted
from tests.support.masters import PROJECT, Wire
from tests.support.pbxs.pbx import BarePbx, granted, refused

Action = seat_pb2.RemedyAction
Kind = seat_pb2.HolderKind
Reason = seat_pb2.RefusalReason

DEBITED, INCLUDED, NOT_NEEDED = seat_pb2.BASIS_DEBITED, seat_pb2.BASIS_INCLUDED, seat_pb2.BASIS_NOT_NEEDED
EXECUTIVE, TRUNK, GATEWAY = seat_pb2.HOLDER_KIND_EXECUTIVE, seat_pb2.HOLDER_KIND_TRUNK, seat_pb2.HOLDER_KIND_GATEWAY
GROUP, QUEUE = seat_pb2.HOLDER_KIND_GROUP, seat_pb2.HOLDER_KIND_WAITING_QUEUE
LOGIN, CHANNEL = seat_pb2.HOLDER_KIND_LOGIN, seat_pb2.HOLDER_KIND_CHANNEL
INTERFACE, PBX = seat_pb2.HOLDER_KIND_INTERFACE, seat_pb2.HOLDER_KIND_PBX


async def explain(pbx: BarePbx, *wanted: seat_pb2.Seat, software: str = "") -> status_pb2.ExplainSeatsResponse:
    """What acquiring would answer."""
    request = status_pb2.ExplainSeatsRequest(pbx=pbx.name, seats=wanted, software_version=software)
    return await pbx.wire.status.ExplainSeats(request)


async def ask(pbx: BarePbx, *wanted: seat_pb2.Seat) -> Sequence[seat_pb2.SeatResult]:
    """Explain, then acquire: the answers must be equal, and explaining must have changed nothing."""
    return (await _ask(pbx, *wanted))[0]


async def _ask(pbx: BarePbx, *wanted: seat_pb2.Seat) -> tuple[Sequence[seat_pb2.SeatResult], list[status_pb2.HeldSeat]]:
    """The answers, and what was held before."""
    before = await holdings(pbx.wire)
    explained = await explain(pbx, *wanted)
    assert await holdings(pbx.wire) == before
    results = await pbx.acquire(*wanted)
    assert _but_holders(results) == _but_holders(explained.results)
    return results, before


def _but_holders(results: Sequence[seat_pb2.SeatResult]) -> list[seat_pb2.SeatResult]:
    """Without the biggest holders, which after an acquire are those who hold what it granted."""
    copies = []
    for result in results:
        copy = seat_pb2.SeatResult()
        copy.CopyFrom(result)
        if copy.HasField("refused"):
            copy.refused.ClearField("top_holders")
        copies.append(copy)
    return copies


async def grant(pbx: BarePbx, wanted: seat_pb2.Seat) -> seat_pb2.Grant:
    return granted(await ask(pbx, wanted))[0]


async def grant_all(pbx: BarePbx, *wanted: seat_pb2.Seat) -> list[seat_pb2.Grant]:
    """The grants of some seats."""
    return granted(await ask(pbx, *wanted))


async def refuse(pbx: BarePbx, wanted: seat_pb2.Seat) -> seat_pb2.Refusal:
    """The refusal of one seat; refusing must have changed nothing."""
    results, before = await _ask(pbx, wanted)
    refusal = refused(results)[0]
    assert await holdings(pbx.wire) == before
    return refusal


async def give_back(pbx: BarePbx, *unwanted: seat_pb2.Seat) -> None:
    """Return seats that the PBX holds."""
    results = await pbx.give_back(*unwanted)
    assert all(result.returned for result in results), results


async def keep(pbx: BarePbx, unwanted: seat_pb2.Seat) -> seat_pb2.Refusal:
    """The refusal to take a seat back; it must have changed nothing."""
    before = await holdings(pbx.wire)
    result = (await pbx.give_back(unwanted))[0]
    assert result.HasField("refused")
    assert not result.returned
    assert result.refused.reason == Reason.REFUSAL_REASON_STILL_REQUIRED
    assert await holdings(pbx.wire) == before
    return result.refused


async def status(wire: Wire) -> status_pb2.GetStatusResponse:
    """The estate at a glance."""
    return await wire.status.GetStatus(status_pb2.GetStatusRequest(project=f"projects/{PROJECT}"))


async def used(wire: Wire, license_type: str, device: str = "hq-box") -> tuple[int, int]:
    """(seats used, licenses installed) of a pool; (0, 0) where there is none."""
    pools = (await status(wire)).pools
    chosen = [pool for pool in pools if (pool.license_type, pool.device) == (license_type, device)]
    assert all(map(adds_up, pools))
    return (counted(chosen[0]), chosen[0].capacity) if chosen else (0, 0)


async def holdings(wire: Wire) -> list[status_pb2.HeldSeat]:
    """Every seat of the project."""
    response = await wire.status.ListSeats(status_pb2.ListSeatsRequest(project=f"projects/{PROJECT}", page_size=1000))
    assert not response.next_page_token
    return list(response.seats)


async def held(wire: Wire, pbx: BarePbx) -> set[tuple[str, str]]:
    """(license type, holder) of what a PBX holds."""
    return {
        (holding.seat.license_type, holding.seat.holder) for holding in await holdings(wire) if holding.pbx == pbx.name
    }


async def promised(pbx: BarePbx) -> dict[str, int]:
    """What the next renewal signs for: seats debited, by license type."""
    terms = lease_pb2.LeaseTerms.FromString((await pbx.renew()).lease.signed.payload)
    return {holding.license_type: holding.seats for holding in terms.holdings}


def licenses(refs: Sequence[seat_pb2.LicenseRef]) -> list[tuple[str, int, str]]:
    """(printed type, quantity, device) of the licenses that an answer names."""
    return [(ref.type, ref.quantity, ref.device) for ref in refs]


def holders(refusal: seat_pb2.Refusal) -> list[tuple[str, str, int]]:
    """(PBX, site, seats) of a refusal's top holders."""
    return [(top.pbx.rpartition("/")[2], top.site, top.seats) for top in refusal.top_holders]


def numbers(refusal: seat_pb2.Refusal) -> tuple[int, int, int]:
    """(capacity, in use, wanted)."""
    return refusal.capacity, refusal.in_use, refusal.wanted


def without(project: project_pb2.Project, printed: str) -> project_pb2.Project:
    """The project without the licenses of one printed type."""
    changed = project_pb2.Project()
    changed.CopyFrom(project)
    left = [license for license in project.licenses if license.type != printed]
    assert len(left) < len(project.licenses)
    del changed.licenses[:]
    changed.licenses.extend(left)
    return changed


def with_more(project: project_pb2.Project, refusal: seat_pb2.Refusal, printed: str) -> project_pb2.Project:
    """The project with the remedy of a refusal done: so many more licenses, on the device that it names."""
    assert refusal.remedy.action == Action.REMEDY_ACTION_ADD_LICENSES
    assert refusal.remedy.quantity > 0
    changed = project_pb2.Project()
    changed.CopyFrom(project)
    changed.licenses.add(
        id=f"license-{len(project.licenses) + 1}",
        type=printed,
        quantity=refusal.remedy.quantity,
        device=refusal.remedy.device,
    )
    return changed
