"""The licenses of the estate that the agreement ledger entitles a project to (rules P1, P2, P5, P6, Q5, Q7, R3, R4).

`entitled` says which licenses there should be on a day, by the rights of `rights.py`; `syncing` finds the changes that
bring the estate there, none where nothing differs. A license is identified by its subject and its type, so a purchase
replaces a trial in place (P2) and an upgrade changes a total (P6).

Only a policy that grants the use takes licenses away when it ends: they are released with their seats revoked. Where a
purchase has fewer licenses than the trial before, the surplus is split off and drained. Writing, and taking seats
away, is left to `service/agreements/entitlements.py`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.rights.rights import RightStatus, counts_of, features_on, status_of, use_policy
from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.dates import first_instant_of
from master.domain.catalog.policies import SubjectKind
from master.domain.catalog.subjects import Subject
from master.domain.catalog.words import Metering
from master.domain.estate.estate import Estate
from master.domain.estate.installations import LEDGER_FILE, AgreedUse, License
from master.domain.estate.license_release import BY_LEDGER, InUse, Release
from master.domain.licenses import balance, moves
from master.values import Value, replace

ID_MAX = 63


class Entitled(Value, kw_only=True):
    """Licenses of one type that a subject has on a day."""

    subject: Subject
    type: LicenseType
    quantity: int
    version: int | None
    """The major version where the product is for one (P3) and the type carries versions."""
    device: str
    """The device that the licenses belong to (Q5); empty where the operator chooses the device."""
    policy: str
    """The policy whose end stops the use; empty where no policy does."""
    ends: date | None
    """The first day on which the licenses cannot be used any more; None for never (P5, Q7)."""

    @property
    def name(self) -> tuple[Subject, str]:
        """Return the subject and license type that identify the license, whatever its quantity becomes."""
        return self.subject, self.type.key


class Reconciliation(Value):
    """One license that has to change: added where `before` is None, removed where `after` is None."""

    before: License | None
    after: License | None

    @property
    def id(self) -> str:
        license = self.after or self.before
        assert license is not None
        return license.id

    @property
    def takes_seats(self) -> bool:
        """Whether seats of the license are to be taken away now."""
        return _is_taken(self.after) and not _is_taken(self.before)


def entitled(snapshot: AgreementSnapshot, day: date) -> tuple[Entitled, ...]:
    """Return the licenses that purchases and running trials entitle to on a day, by subject and type."""
    entitleds: list[Entitled] = []
    for subject in snapshot.subjects():
        holding = snapshot.state.holding(subject)
        product = snapshot.product(holding)
        if product is None:
            continue
        status, until, _, _ = status_of(snapshot, holding, product, day)
        if status is not RightStatus.RUNS:
            continue
        policy = use_policy(snapshot, holding, product) if until is not None else None
        counts = {**counts_of(holding, product, day), **dict.fromkeys(features_on(holding, product), 1)}
        for key, quantity in sorted(counts.items()):
            license_type = snapshot.catalog.types.get(key)
            if quantity > 0 and license_type is not None and license_type.metering is not Metering.FREE:
                entitleds.append(
                    Entitled(
                        subject=subject,
                        type=license_type,
                        quantity=quantity,
                        version=(holding.major or None) if license_type.versioned else None,
                        device=subject.id if subject.kind == SubjectKind.DEVICE.value else "",
                        policy=policy.key if policy is not None else "",
                        ends=until,
                    )
                )
    return tuple(entitleds)


def syncing(estate: Estate, wanted: Sequence[Entitled], now: float) -> tuple[Reconciliation, ...]:
    """Return the changes after which the estate has the wanted licenses; `now` is UNIX time in seconds."""
    there: defaultdict[tuple[Subject, str], list[License]] = defaultdict(list)
    for license in estate.licenses:
        if license.agreed is not None:
            there[license.agreed.subject, license.type.key].append(license)
    taken = {license.id for license in estate.licenses}
    reconciliations: list[Reconciliation] = []
    for entitled in sorted(wanted, key=lambda entitled: entitled.name):
        items = _in_force_first(there.pop(entitled.name, ()), now)
        reconciliations += _reconciled(estate, entitled, items[0] if items else None, taken, now)
        reconciliations += (Reconciliation(spare, _drained(spare, now)) for spare in items[1:])
    for _, items in sorted(there.items()):
        reconciliations += (Reconciliation(unwanted, _stopped(unwanted, now)) for unwanted in items)
    return tuple(reconciliation for reconciliation in reconciliations if reconciliation.before != reconciliation.after)


def is_apart(estate: Estate, license: License) -> bool:
    """Tell whether a license was split off from another license of its subject and type; once free, it is removed."""
    return any(
        other.id != license.id
        and other.agreed is not None
        and license.agreed is not None
        and (other.agreed.subject, other.type.key) == (license.agreed.subject, license.type.key)
        for other in estate.licenses
    )


def _reconciled(
    estate: Estate, entitled: Entitled, license: License | None, taken: set[str], now: float
) -> Iterator[Reconciliation]:
    """Return the changes of an entitlement's license, and of the surplus that is split off from that license."""
    ends_at = None if entitled.ends is None else first_instant_of(entitled.ends, ZoneInfo(estate.time_zone))
    agreed = AgreedUse(subject=entitled.subject, policy=entitled.policy, ends_at=ends_at)
    if license is None:
        fresh = License(
            id=_free_id(entitled.name, taken),
            type=entitled.type,
            version=entitled.version,
            tier=None,
            quantity=entitled.quantity,
            device=None,
            file=LEDGER_FILE,
            agreed=agreed,
        )
        yield Reconciliation(None, _on_its_device(estate, entitled, fresh, now))
        return
    kept = balance.staying(license) if license.release is not None and license.release.ends_use else license
    kept = replace(kept, version=entitled.version, quantity=entitled.quantity, agreed=agreed)
    yield Reconciliation(license, _on_its_device(estate, entitled, kept, now))
    if license.device is not None and license.quantity > entitled.quantity:
        apart = replace(
            license,
            id=_free_id((entitled.subject, f"{entitled.type.key}-surplus"), taken),
            quantity=license.quantity - entitled.quantity,
            agreed=replace(agreed, ends_at=now),
            release=_end(InUse.DRAIN, now),
        )
        yield Reconciliation(None, apart)


def _on_its_device(estate: Estate, entitled: Entitled, license: License, now: float) -> License:
    pbx = estate.pbx_on.get(entitled.device)
    if license.device is not None or pbx is None or moves.bind_refused(estate, license, pbx.device) is not None:
        return license
    return balance.bound(license, pbx.device, now)


def _drained(license: License, now: float) -> License | None:
    """Return a bound license without entitlement as leaving, kept until nobody uses it; None for a free one."""
    if license.device is None:
        return None
    if license.release is not None and license.release.ends_use:
        return license
    return replace(_over(license, now), release=_end(InUse.DRAIN, now))


def _stopped(license: License, now: float) -> License:
    """Return a license that nothing entitles to any more, revoked if bound; a free one is kept with its use ended."""
    over = _over(license, now)
    if over.device is None:
        return over
    if over.release is None or not over.release.ends_use:
        return replace(over, release=_end(InUse.REVOKE, now))
    return balance.pressed(over, max(over.release.in_use, InUse.REVOKE, key=lambda license: license.value))


def _over(license: License, now: float) -> License:
    assert license.agreed is not None
    return license if license.agreed.is_over(now) else replace(license, agreed=replace(license.agreed, ends_at=now))


def _end(in_use: InUse, now: float) -> Release:
    return Release(
        in_use=in_use,
        requested_by=BY_LEDGER,
        requested_at=now,
        reason="no agreement entitles to it any more",
        certified=True,  # nothing comes back that could be bound elsewhere, so nobody has to vouch for it (L2)
    )


def _is_taken(license: License | None) -> bool:
    release = license.release if license is not None else None
    return release is not None and release.ends_use and release.in_use is not InUse.DRAIN


def _in_force_first(items: Iterable[License], now: float) -> list[License]:
    return sorted(items, key=lambda license: (license.use_is_over(now), len(license.id), license.id))


def _free_id(name: tuple[Subject, str], taken: set[str]) -> str:
    """Return a license id that no license has, made of the subject's id and the type."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{name[0].id}-{name[1]}".lower()).strip("-")
    free, number = words[:ID_MAX], 1
    while free in taken:
        number += 1
        end = f"-{number}"
        free = words[: ID_MAX - len(end)] + end
    taken.add(free)
    return free
