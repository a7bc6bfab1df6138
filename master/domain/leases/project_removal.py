"""What prevents deleting a project: seats that may still be in use, and licenses that only a vendor or a device can
give.

Licenses that the project file declares do not prevent it: the file still has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from licensemaster.values.moments import second_text
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import Lease, Phase
from master.domain.licenses.move_problems import MoveProblem
from master.domain.licenses.moves import release_refused


def in_the_way(
    estate: Estate, leases: Mapping[int, Lease], counted: Mapping[int, int], time: LeaseTime
) -> Iterator[tuple[str, str]]:
    """Yield what prevents deleting the project: the thing it is about, and a sentence that says what helps.

    `leases` and `counted`, the seats held or promised in a PBX's name, are by PBX id.
    """
    if estate.learning is not None and estate.learns(time.ends_by):
        until = second_text(estate.learning.until)
        yield "project", f"the master learns until {until} what is in use after a restore; nobody knows it yet"
    for pbx in sorted(estate.pbxs.values(), key=lambda pbx: pbx.name):
        lease, seats = leases.get(pbx.id), counted.get(pbx.id, 0)
        if seats or (lease is not None and lease.state(time).is_running):
            until = f" until {second_text(lease.ends_at)}" if lease is not None and lease.phase is Phase.OPEN else ""
            yield (
                f"pbxs/{pbx.name}",
                f"{pbx.name} has a lease{until}, {seats} seats are counted for it; stop it for good, or"
                f" `license-master leases end {pbx.name} --reason TEXT`",
            )
    for license in estate.licenses:
        if license.file is not None and license.device is not None:
            yield (
                f"licenses/{license.id}",
                f"{license.ref} is bound to {license.device.name}; {_way_off(estate, license)}",
            )
        elif license.held_until is not None and time.now < license.held_until:
            until = second_text(license.held_until)
            yield (
                f"licenses/{license.id}",
                f"{license.ref} cools off until {until}, as its device could not certify that it is free",
            )


def _way_off(estate: Estate, license: License) -> str:
    if license.release is not None:
        return "`license-master license list --state releasing` says what its release waits for"
    if (refused := release_refused(estate, license)) is not None:
        stays = refused.problem is MoveProblem.NOT_RELEASABLE
        return "nothing takes it off, so the project stays" if stays else refused.remedy
    return f"`license-master license release {license.id}` takes it off"
