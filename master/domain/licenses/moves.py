"""What prevents binding, releasing and rebinding a license, judged on the estate.

Judged here, for the code that moves licenses and for plans alike; `move_problems.py` has the closed list and the words:

- C2, D4, L4: what can never be taken off its device, and firmware that cannot give anything back.
- A5: what going from local to central needs, and what stays behind (A6, D5).
- I3, D4, E5: what a target device cannot take.
- L5: what is still in use.

Every judgement looks at one license and the estate as it is at that moment; whoever moves several judges and applies
them one by one, in the order of `in_binding_order`. Left to the caller: certificates, approvals, time, how a release of
what is in use goes on (drained or revoked), and licenses or PBXs that do not exist.

Where a function takes `software`, it is what PBXs are known to run, by PBX id; the estate's word holds for the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import Device, License
from master.domain.estate.tiers import missing_below_tier
from master.domain.licenses import move_problems
from master.domain.licenses.move_problems import MoveRefusal
from master.domain.seats.refusals.reasons import MOST_HOLDERS, MOST_NAMED, TopHolder
from master.values import replace


def target_device(estate: Estate, name: str, *, devices: Collection[str] = ()) -> Device | MoveRefusal:
    """Return the device of that name if licenses can be bound to it, else why not; `devices` names those without a PBX
    too."""
    if (pbx := estate.pbx_on.get(name)) is not None:
        return pbx.device
    if name in devices:
        return move_problems.DEVICE_WITHOUT_PBX.at(name)
    known = ", ".join(sorted(estate.pbx_on)[:MOST_NAMED])
    return move_problems.UNKNOWN_DEVICE.at(name, project=estate.name, known=known)


def release_refused(
    estate: Estate, license: License, *, software: Mapping[int, Version] | None = None
) -> MoveRefusal | None:
    """Return why a license cannot be taken off its device at all: NOT_BOUND, NOT_RELEASABLE (C2, D4), FIRMWARE_TOO_OLD
    (L4).

    Whether seats of it are in use is judged by `use_refused`.
    """
    if license.device is None:
        return move_problems.NOT_BOUND.of(license)
    if license.type.stays_on(license.device.platform):  # C2, D4
        has_version = license.type.versioned  # C3: hardware has none
        return (move_problems.NOT_RELEASABLE if has_version else move_problems.HARDWARE_NOT_RELEASABLE).of(license)
    pbx = estate.pbx_on.get(license.device.name)
    first = estate.catalog.releases_from_software
    if pbx is not None and first is not None and (running := _running(pbx, software)) < first:  # L4
        return move_problems.FIRMWARE_TOO_OLD.of(license, pbx=pbx.name, running=running, first=first)
    return None


def bind_refused(estate: Estate, license: License, device: Device) -> MoveRefusal | None:
    """Return why a license cannot be bound to a device: RELEASE_UNDER_WAY, ALREADY_THERE, ALREADY_BOUND, WRONG_PLATFORM
    (D4), MODEL_EXCLUDED (I3), TIER_TOO_EARLY (E5); None where it can."""
    if license.device is not None:
        if license.release is not None:
            return move_problems.release_under_way(license)
        if license.device.id == device.id:
            return move_problems.ALREADY_THERE.of(license)
        return move_problems.ALREADY_BOUND.of(license)
    return _unwelcome(estate, license, device)


def binding_refused_now(license: License, now: float) -> MoveRefusal | None:
    """Return why a license cannot be bound anywhere at a time (UNIX seconds): COOLING_OFF (L2), USE_ENDED (P1, R3)."""
    if license.held_until is not None and now < license.held_until:
        return move_problems.cooling_off(license, until=license.held_until)
    return move_problems.use_ended(license) if license.use_is_over(now) else None


def rebind_refused(
    estate: Estate, license: License, device: Device, *, software: Mapping[int, Version] | None = None
) -> MoveRefusal | None:
    """Return why a license cannot go straight from its device to another: first its release is judged, then its
    binding.

    A free license is bound, not rebound: NOT_BOUND.
    """
    if license.device is not None and license.device.id == device.id:
        return move_problems.ALREADY_THERE.of(license)
    if refused := release_refused(estate, license, software=software):
        return refused
    return _unwelcome(estate, license, device)


def going_central_refused(estate: Estate, pbx: Pbx, *, software: Mapping[int, Version]) -> MoveRefusal | None:
    """Return why a PBX as a whole cannot go from local to central: ALREADY_CENTRAL, FIRMWARE_TOO_OLD (A5)."""
    if not estate.is_local(pbx):
        return move_problems.ALREADY_CENTRAL.at(pbx.device.name, pbx=pbx.name)
    first = estate.catalog.releases_from_software
    if first is not None and (running := _running(pbx, software)) < first:
        return move_problems.TOO_OLD_FOR_CENTRAL.at(pbx.device.name, pbx=pbx.name, running=running, first=first)
    return None


def leaving_for_central(estate: Estate, pbx: Pbx) -> tuple[License, ...]:
    """Return the licenses on a PBX's own device that go to the master as it becomes central (A5), in binding order."""
    making_local = estate.installations[pbx.device.id].making_local
    return in_binding_order(license for license in making_local if not license.type.stays_on(pbx.device.platform))


def staying_behind(estate: Estate, pbx: Pbx) -> tuple[License, ...]:
    """Return the licenses on a PBX's own device that can never leave it (C2, D4)."""
    licenses = estate.installations[pbx.device.id].licenses
    return tuple(license for license in licenses if license.type.stays_on(pbx.device.platform))


def use_refused(license: License, *, used: int, left: int, holders: Sequence[TopHolder] = ()) -> MoveRefusal | None:
    """Return IN_USE where a release leaves fewer licenses than seats in use (L5).

    Where several licenses go together, `license` is one of them; `used` are the seats debited from its pool, `left` is
    what `left_without` says. `holders` come most first.
    """
    if used <= left:
        return None
    top = tuple(holders[:MOST_HOLDERS])
    named = ", ".join(f"{holder.pbx.rpartition('/')[2]} ({holder.seats:,})" for holder in top)
    held_by = f"; most are held by {named}" if named else ""
    refused = move_problems.IN_USE.of(license, used=used, left=left, held_by=held_by, missing=used - left)
    return replace(refused, missing=used - left, top_holders=top)


def left_without(estate: Estate, license: License, leaving: Collection[str]) -> int:
    """Count the licenses of a license's type on its device without those of the ids `leaving`."""
    if license.device is None:
        return 0
    installed = estate.installations[license.device.id].of_type(license.type.key)
    return sum(other.quantity for other in installed if other.id not in leaving)


def in_binding_order(licenses: Iterable[License]) -> tuple[License, ...]:
    """Return licenses with lower tiers first, as those must be installed before the higher ones (E5)."""
    return tuple(sorted(licenses, key=lambda license: (license.type.key, license.tier or 0, license.id)))


def _unwelcome(estate: Estate, license: License, device: Device) -> MoveRefusal | None:
    """Return why a device cannot take a license, whatever else is bound to it; None where it can."""
    if not license.type.fits(device.platform):  # D4
        platforms = " or ".join(sorted(license.type.platforms))
        return move_problems.WRONG_PLATFORM.of(license, device, platforms=platforms, platform=device.platform)
    target = estate.installations[device.id]
    if rivals := [other for key in sorted(license.type.excludes) for other in target.of_type(key)]:  # I3
        refused = move_problems.MODEL_EXCLUDED.of(license, device, other=rivals[0].type.display_name)
        return replace(refused, licenses=tuple(rival.ref for rival in rivals))
    if missing := missing_below_tier(estate, license, device):  # E5
        tier = license.tier or 0
        numbers = {"from_license": tier + 1, "below": tier - missing, "missing": missing}
        return replace(move_problems.TIER_TOO_EARLY.of(license, device, **numbers), missing=missing)
    return None


def _running(pbx: Pbx, software: Mapping[int, Version] | None) -> Version:
    return (software or {}).get(pbx.id, pbx.software)
