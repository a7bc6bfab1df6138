"""Writes answers of the master as messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from licensemaster.api_enums import Basis
from licensemaster.v1 import (
    allocation_pb2,
    audit_pb2,
    document_pb2,
    lease_pb2,
    loan_pb2,
    project_pb2,
    seat_pb2,
    standby_pb2,
    status_pb2,
)
from master.domain.audit.chain import Record
from master.domain.audit.export import Checkpoint
from master.domain.catalog.words import LeaseState
from master.domain.estate import project as spec
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.leases.leases import Lease
from master.domain.leases.loans import Loan
from master.domain.leases.notices import Notice
from master.domain.leases.standby import Readiness, StandbyProblem, StandbySwitch
from master.domain.monitoring.overview import Overview
from master.domain.seats.seats import Key, Seat
from master.rpc.convert.refusals import BASIS, kind_message, license_refs
from master.rpc.messages import message, timestamp, timestamp_us
from master.service.batch.answers import Blocks, LeaseEnded, StandbyOffer
from master.service.leases.lease_views import LeaseView
from master.service.leases.waiting_lists import WaitingSeat
from master.service.monitoring.audit import Export
from master.service.runtime.names import PbxName
from master.signing import Signer


def lease_terms(
    name: PbxName, lease: Lease, grace_seconds: int, seats: dict[str, int], blocks: Blocks, now: float
) -> lease_pb2.LeaseTerms:
    """Return the terms of a lease, to be signed."""
    return lease_pb2.LeaseTerms(
        pbx=str(name),
        epoch=lease.epoch,
        issue_time=timestamp(now),
        end_time=timestamp(lease.ends_at),
        ttl_seconds=lease.ttl_seconds,
        grace_seconds=grace_seconds,
        holdings=holdings(seats),
        blocks=[
            lease_pb2.SeatBlock(
                license_type=block.license_type,
                seats=block.seats,
                holder_kinds=[kind_message(kind) for kind in block.holder_kinds],
            )
            for block in blocks.blocks
        ],
        block_serial=blocks.serial,
    )


def standby_lease_terms(offer: StandbyOffer) -> lease_pb2.StandbyLeaseTerms:
    """Return the terms of a standby lease, to be signed."""
    times = {"issue_time": offer.issued_at, "end_time": offer.ends_at}
    return message(lease_pb2.StandbyLeaseTerms, offer, **times, holdings=holdings(offer.holdings))


def loan_message(name: PbxName, loan: Loan) -> loan_pb2.Loan:
    return message(loan_pb2.Loan, loan, pbx=name, change_time=loan.serial / 1000, end_time=loan.ends_at)


def signed_loan(signer: Signer, name: PbxName, loan: Loan, now: float) -> document_pb2.SignedDocument:
    """Sign the terms of a loan for its PBX."""
    terms = message(loan_pb2.LoanTerms, loan, pbx=name, issue_time=now, end_time=loan.ends_at)
    return signer.sign(document_pb2.DOCUMENT_KIND_LOAN, terms)


def holdings(seats: Mapping[str, int]) -> list[lease_pb2.Holding]:
    """Return the messages of seats by license type, in the order of the types."""
    return [lease_pb2.Holding(license_type=key, seats=count) for key, count in sorted(seats.items())]


def standby_problems(problems: Sequence[StandbyProblem]) -> list[standby_pb2.StandbyProblem]:
    return [message(standby_pb2.StandbyProblem, problem) for problem in problems]


def standby_licenses(device: str, switch: StandbySwitch) -> standby_pb2.StandbyLicenses:
    """Return the message of the Standby licenses that all pairs depend on."""
    licenses = [license.ref for license in switch.licenses]
    return message(standby_pb2.StandbyLicenses, switch, device=device, licenses=licenses)


def standby_pair(project: str, pair: Readiness) -> standby_pb2.StandbyPair:
    """Return the readiness of a standby pair, and what is known of its two leases."""
    state, record = pair.state, pair.state.record
    return message(
        standby_pb2.StandbyPair,
        pair,
        standby=PbxName(project, pair.standby.name),
        primary=PbxName(project, pair.primary.name),
        standby_site=pair.standby.site,
        primary_site=pair.primary.site,
        seats=[
            standby_pb2.CarriedSeats(license_type=key, held=state.held.get(key, 0), covered=state.covered.get(key, 0))
            for key in sorted(state.held.keys() | state.covered.keys())
        ],
        standby_contact_time=state.standby_lease and state.standby_lease.renewed_at,
        primary_contact_time=state.primary_lease and state.primary_lease.primary_heard_at,
        issued_serial=record and record.serial,
        acknowledged_serial=record and record.acknowledged_serial,
        standby_lease_end_time=record.acknowledged_ends_at if record and record.acknowledged_serial else None,
        two_claims_time=record and record.two_claims_at,
    )


def notice_messages(
    notices: Sequence[Notice], request_for: Callable[[License], document_pb2.SignedDocument] | None = None
) -> list[lease_pb2.Notice]:
    """Return the messages of a PBX's notices, with the device's release requests where `request_for` signs them."""
    return [
        lease_pb2.Notice(
            kind=lease_pb2.NoticeKind.ValueType(notice.kind.value),
            message=notice.message,
            licenses=license_refs(notice.licenses),
            seats=[_seat_key(key) for key in notice.seats],
            places=notice.places,
            release_requests=[request_for(release) for release in notice.releases] if request_for else (),
        )
        for notice in notices
    ]


def _seat_key(key: Key) -> seat_pb2.Seat:
    license_type, kind, holder = key
    return seat_pb2.Seat(
        license_type=license_type, holder_kind=seat_pb2.HolderKind.ValueType(kind.value), holder=holder
    )


def held_seat(estate: Estate, seat: Seat) -> status_pb2.HeldSeat:
    """Return the message of a seat, with its holder and its basis."""
    pbx = estate.pbxs[seat.pbx_id]
    device = estate.pool_devices[seat.pool_id].name if seat.pool_id is not None else ""
    return status_pb2.HeldSeat(
        pbx=str(PbxName(estate.name, pbx.name)),
        site=pbx.site,
        seat=seat_message(seat),
        basis=BASIS[Basis.DEBITED if seat.pool_id is not None else Basis.INCLUDED],
        device=device,
        included_in=seat.parent,
        acquire_time=timestamp(seat.acquired_at),
    )


def seat_message(seat: Seat) -> seat_pb2.Seat:
    return seat_pb2.Seat(
        license_type=seat.type, holder_kind=kind_message(seat.kind), holder=seat.holder, user=seat.user, line=seat.line
    )


def lease_status(project: str, view: LeaseView) -> status_pb2.LeaseStatus:
    """Return the status of a PBX's lease."""
    lease = view.lease
    return message(
        status_pb2.LeaseStatus,
        view,
        pbx=PbxName(project, view.pbx.name),
        site=view.pbx.site,
        software_version=(lease.software if lease else view.pbx.software).reported,
        notices=notice_messages(view.notices),
        carried_by=PbxName(project, view.carried_by) if view.carried_by else None,
        epoch=lease and lease.epoch,
        open_time=lease and lease.opened_at,
        renew_time=lease and lease.renewed_at,
        end_time=lease and lease.ends_at,
    )


def lease_ended(name: PbxName, ended: LeaseEnded) -> lease_pb2.EndLeaseResponse:
    return message(
        lease_pb2.EndLeaseResponse,
        ended,
        at_risk=holdings(ended.at_risk),
        seats_at_risk=sum(ended.at_risk.values()),
        risk_end_time=ended.risk_ends_at,
        renew_time=ended.renewed_at,
        carried_by=PbxName(name.project, ended.carried_by) if ended.carried_by else None,
    )


def status_response(overview: Overview, *, master_version: str) -> status_pb2.GetStatusResponse:
    def pbx(name: str) -> PbxName:
        return PbxName(overview.project, name)

    return message(
        status_pb2.GetStatusResponse,
        overview,
        project=f"projects/{overview.project}",
        master_version=master_version,
        version_limits=[
            message(status_pb2.VersionLimit, limit, pbxs_above=map(pbx, limit.pbxs_above)) for limit in overview.limits
        ],
        usage=[
            status_pb2.SiteUsage(site=site, license_type=key, seats=seats)
            for (site, key), seats in sorted(overview.site_seats.items())
        ],
        lease_counts=[
            status_pb2.LeaseCount(state=lease_state(state), pbxs=count)
            for state, count in overview.leases.items()
            if count
        ],
        standby_pairs=[
            message(
                status_pb2.StandbyReadiness,
                pair,
                standby=pbx(pair.standby.name),
                primary=pbx(pair.primary.name),
                problems=[problem.message for problem in pair.problems if problem.kind.blocking],
            )
            for pair in overview.pairs
        ],
    )


def waiting_message(project: str, waiting: WaitingSeat) -> allocation_pb2.WaitingSeat:
    waiter = waiting.waiter
    return message(
        allocation_pb2.WaitingSeat,
        waiting,
        pbx=PbxName(project, waiting.pbx),
        site=waiter.site,
        seat=_seat_key(waiter.key),
        ask_time=waiter.asked_at,
        call_seats=waiter.call_seats,
        connected=waiter.is_there,
    )


def project_message(project: spec.ProjectSpec) -> project_pb2.Project:
    return message(
        project_pb2.Project,
        project,
        lease=_pace_message(project.lease),
        pbxs=[message(project_pb2.Pbx, pbx, lease=_pace_message(pbx.lease)) for pbx in project.pbxs],
    )


def event_message(project: str, event: Record) -> status_pb2.Event:
    pbx = PbxName(project, event.pbx) if event.pbx else None
    return message(status_pb2.Event, event, time=timestamp_us(event.time_us), pbx=pbx)


def audit_header(project: str, export: Export) -> audit_pb2.AuditHeader:
    return audit_pb2.AuditHeader(
        project=f"projects/{project}",
        first_seq=export.start.seq + 1,
        last_seq=export.end.seq,
        previous_hash=export.start.hash,
    )


def audit_checkpoint(checkpoint: Checkpoint) -> audit_pb2.AuditCheckpoint:
    project, time = f"projects/{checkpoint.project}", timestamp_us(checkpoint.time_us)
    return message(audit_pb2.AuditCheckpoint, checkpoint, project=project, time=time)


def lease_state(state: LeaseState) -> status_pb2.LeaseState.ValueType:
    """Return the API's number of a lease's state."""
    return status_pb2.LeaseState.ValueType(state.value)


def _pace_message(pace: spec.PaceSpec) -> project_pb2.LeaseSettings | None:
    return message(project_pb2.LeaseSettings, pace) if pace != spec.PaceSpec() else None
