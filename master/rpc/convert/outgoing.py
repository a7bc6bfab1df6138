"""What goes out: answers of the master as messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from licensemaster.api_enums import Basis
from licensemaster.v1 import document_pb2, lease_pb2, project_pb2, seat_pb2, standby_pb2, status_pb2
from master.domain.audit.chain import Record
from master.domain.catalog.words import LeaseState
from master.domain.estate import project as spec
from master.domain.estate.estate import Estate, License
from master.domain.leases.leases import Lease
from master.domain.leases.notices import Notice
from master.domain.leases.standby import Readiness, StandbyProblem, StandbySwitch
from master.domain.monitoring.overview import LearningView, Overview
from master.domain.seats.seats import Key, Seat
from master.rpc.convert.refusals import BASIS, kind_message, license_refs
from master.rpc.convert.times import timestamp, timestamp_us
from master.service.batch.requests import LeaseEnded, StandbyOffer
from master.service.leases.lease_views import LeaseView
from master.service.projects.apply import Applied
from master.service.runtime.names import PbxName


def lease_terms(
    name: PbxName, lease: Lease, grace_seconds: int, holdings: dict[str, int], now: float
) -> lease_pb2.LeaseTerms:
    """Return the terms of a lease, to be signed."""
    return lease_pb2.LeaseTerms(
        pbx=str(name),
        epoch=lease.epoch,
        issue_time=timestamp(now),
        end_time=timestamp(lease.ends_at),
        ttl_seconds=lease.ttl_seconds,
        grace_seconds=grace_seconds,
        holdings=[lease_pb2.Holding(license_type=key, seats=seats) for key, seats in sorted(holdings.items())],
    )


def standby_lease_terms(offer: StandbyOffer) -> lease_pb2.StandbyLeaseTerms:
    """Return the terms of a standby lease, to be signed."""
    return lease_pb2.StandbyLeaseTerms(
        standby=str(offer.standby),
        primary=str(offer.primary),
        primary_epoch=offer.primary_epoch,
        serial=offer.serial,
        issue_time=timestamp(offer.issued_at),
        end_time=timestamp(offer.ends_at),
        ttl_seconds=offer.ttl_seconds,
        grace_seconds=offer.grace_seconds,
        holdings=[lease_pb2.Holding(license_type=key, seats=seats) for key, seats in sorted(offer.holdings.items())],
    )


def standby_problems(problems: Sequence[StandbyProblem]) -> list[standby_pb2.StandbyProblem]:
    """What stands in the way of a takeover."""
    return [
        standby_pb2.StandbyProblem(
            kind=standby_pb2.StandbyProblemKind.ValueType(problem.kind.value),
            message=problem.message,
            rules=problem.rules,
            blocking=problem.kind.blocking,
            installed=problem.installed,
            needed=problem.needed,
            missing=problem.missing,
            licenses=license_refs(problem.licenses),
            retry_time=timestamp(problem.retry_at) if problem.retry_at is not None else None,
        )
        for problem in problems
    ]


def standby_licenses(device: str, switch: StandbySwitch) -> standby_pb2.StandbyLicenses:
    """The licenses that all pairs depend on."""
    return standby_pb2.StandbyLicenses(
        device=device,
        license_type=switch.license_type,
        installed=switch.installed,
        needed=switch.needed,
        on=switch.on,
        licenses=license_refs([license.ref for license in switch.licenses]),
    )


def standby_pair(project: str, pair: Readiness) -> standby_pb2.StandbyPair:
    state, record = pair.state, pair.state.record
    message = standby_pb2.StandbyPair(
        standby=str(PbxName(project, pair.standby.name)),
        primary=str(PbxName(project, pair.primary.name)),
        standby_site=pair.standby.site,
        primary_site=pair.primary.site,
        ready=pair.ready,
        problems=standby_problems(pair.problems),
        seats=[
            standby_pb2.CarriedSeats(license_type=key, held=state.held.get(key, 0), covered=state.covered.get(key, 0))
            for key in sorted(state.held.keys() | state.covered.keys())
        ],
        carrying=pair.carrying,
    )
    if state.standby_lease is not None:
        message.standby_contact_time.CopyFrom(timestamp(state.standby_lease.renewed_at))
    if state.primary_lease is not None:
        message.primary_contact_time.CopyFrom(timestamp(state.primary_lease.primary_heard_at))
    if record is not None:
        message.issued_serial, message.acknowledged_serial = record.serial, record.acknowledged_serial
        if record.acknowledged_serial:
            message.standby_lease_end_time.CopyFrom(timestamp(record.acknowledged_ends_at))
        if record.two_claims_at is not None:
            message.two_claims_time.CopyFrom(timestamp(record.two_claims_at))
    return message


def notice_messages(
    told: Sequence[Notice], request_for: Callable[[License], document_pb2.SignedDocument] | None = None
) -> list[lease_pb2.Notice]:
    """What a PBX should know; with what its device is to answer, where `request_for` signs that."""
    return [
        lease_pb2.Notice(
            kind=lease_pb2.NoticeKind.ValueType(notice.kind.value),
            message=notice.message,
            licenses=license_refs(notice.licenses),
            seats=[_seat_key(key) for key in notice.seats],
            release_requests=[request_for(release) for release in notice.releases] if request_for else (),
        )
        for notice in told
    ]


def _seat_key(key: Key) -> seat_pb2.Seat:
    license_type, kind, holder = key
    return seat_pb2.Seat(
        license_type=license_type, holder_kind=seat_pb2.HolderKind.ValueType(kind.value), holder=holder
    )


def held_seat(estate: Estate, seat: Seat) -> status_pb2.HeldSeat:
    """A seat with who holds it and what it costs."""
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
    """How a PBX's lease stands."""
    message = status_pb2.LeaseStatus(
        pbx=str(PbxName(project, view.pbx.name)),
        site=view.pbx.site,
        state=lease_state(view.state),
        software_version=(view.lease.software if view.lease else view.pbx.software).reported,
        seats=view.seats,
        notices=notice_messages(view.notices),
        carried_by=str(PbxName(project, view.carried_by)) if view.carried_by else "",
    )
    if view.lease is not None:
        message.epoch = view.lease.epoch
        message.open_time.CopyFrom(timestamp(view.lease.opened_at))
        message.renew_time.CopyFrom(timestamp(view.lease.renewed_at))
        message.end_time.CopyFrom(timestamp(view.lease.ends_at))
    return message


def lease_ended(name: PbxName, found: LeaseEnded) -> lease_pb2.EndLeaseResponse:
    """What ending a lease came to."""
    return lease_pb2.EndLeaseResponse(
        epoch=found.epoch,
        seats_returned=found.seats_returned,
        at_risk=[lease_pb2.Holding(license_type=key, seats=seats) for key, seats in sorted(found.at_risk.items())],
        seats_at_risk=sum(found.at_risk.values()),
        risk_end_time=timestamp(found.risk_ends_at) if found.risk_ends_at is not None else None,
        connected=found.connected,
        renew_time=timestamp(found.renewed_at),
        carried_by=str(PbxName(name.project, found.carried_by)) if found.carried_by else "",
    )


def status_response(found: Overview, *, master_version: str) -> status_pb2.GetStatusResponse:
    """An estate at a glance."""
    return status_pb2.GetStatusResponse(
        project=f"projects/{found.project}",
        revision=found.revision,
        master_version=master_version,
        pools=[
            status_pb2.Pool(
                device=pool.device,
                license_type=pool.license_type,
                display_name=pool.display_name,
                capacity=pool.capacity,
                used=pool.parts.used,
                promised=pool.parts.promised,
                leaving=pool.parts.leaving,
                withheld=pool.parts.withheld,
                free=pool.parts.free,
                central=pool.central,
                feature_on=pool.feature_on,
                peak=pool.peak,
                peak_time=timestamp(pool.peak_at) if pool.peak_at is not None else None,
            )
            for pool in found.pools
        ],
        version_limits=[
            status_pb2.VersionLimit(
                device=limit.device,
                version=limit.version or 0,
                licenses=license_refs(limit.licenses),
                pbxs_above=[str(PbxName(found.project, name)) for name in limit.pbxs_above],
            )
            for limit in found.limits
        ],
        usage=[
            status_pb2.SiteUsage(site=site, license_type=key, seats=seats)
            for (site, key), seats in sorted(found.site_seats.items())
        ],
        lease_counts=[
            status_pb2.LeaseCount(state=lease_state(state), pbxs=count)
            for state, count in found.leases.items()
            if count
        ],
        standby_pairs=[
            status_pb2.StandbyReadiness(
                standby=str(PbxName(found.project, pair.standby.name)),
                primary=str(PbxName(found.project, pair.primary.name)),
                ready=pair.ready,
                carrying=pair.carrying,
                problems=[problem.message for problem in pair.problems if problem.kind.blocking],
            )
            for pair in found.pairs
        ],
        learning=_learning(found.learning) if found.learning is not None else None,
    )


def _learning(view: LearningView) -> status_pb2.Learning:
    return status_pb2.Learning(
        begin_time=timestamp(view.learning.since),
        end_time=timestamp(view.learning.until),
        why=view.learning.why,
        pbxs_silent=view.pbxs_silent,
        seats_known=view.seats_known,
        seats_proven=view.seats_proven,
        seats_unplaced=view.seats_unplaced,
    )


def project_message(found: spec.ProjectSpec) -> project_pb2.Project:
    """A project as it was applied."""
    return project_pb2.Project(
        name=found.name,
        display_name=found.display_name,
        catalog=found.catalog,
        lease=_pace_message(found.lease),
        sites=[project_pb2.Site(name=site.name, display_name=site.display_name) for site in found.sites],
        devices=[
            project_pb2.Device(name=device.name, platform=device.platform, model=device.model)
            for device in found.devices
        ],
        pbxs=[
            project_pb2.Pbx(
                name=pbx.name,
                site=pbx.site,
                device=pbx.device,
                role=project_pb2.PbxRole.ValueType(pbx.role.value),
                software_version=pbx.software_version,
                standby_for=pbx.standby_for,
                lease=_pace_message(pbx.lease),
            )
            for pbx in found.pbxs
        ],
        licenses=[
            project_pb2.License(id=license.id, type=license.type, quantity=license.quantity, device=license.device)
            for license in found.licenses
        ],
        time_zone=found.time_zone,
    )


def change_messages(changes: Sequence[spec.Change]) -> list[project_pb2.Change]:
    return [
        project_pb2.Change(
            action=project_pb2.ChangeAction.ValueType(change.action.value),
            kind=change.kind,
            name=change.name,
            before=change.before,
            after=change.after,
        )
        for change in changes
    ]


def applied(found: Applied) -> project_pb2.ApplyProjectResponse:
    """What applying a project changed, or would change."""
    return project_pb2.ApplyProjectResponse(
        changes=change_messages(found.changes), revision=found.revision, warnings=found.warnings
    )


def event_message(project: str, event: Record) -> status_pb2.Event:
    return status_pb2.Event(
        id=event.seq,
        time=timestamp_us(event.time_us),
        kind=event.kind,
        pbx=str(PbxName(project, event.pbx)) if event.pbx else "",
        caller=event.caller,
        details=event.details,
        seq=event.seq,
        reason=event.reason,
        request_id=event.request_id,
        hash=event.hash,
    )


def lease_state(state: LeaseState) -> status_pb2.LeaseState.ValueType:
    """A lease's state as the wire writes it."""
    return status_pb2.LeaseState.ValueType(state.value)


def _pace_message(pace: spec.PaceSpec) -> project_pb2.LeaseSettings | None:
    if pace == spec.PaceSpec():
        return None
    return project_pb2.LeaseSettings(
        ttl_seconds=pace.ttl_seconds, grace_seconds=pace.grace_seconds, renew_every_seconds=pace.renew_every_seconds
    )
