"""Takes devices' security certificates (rule L2): each ends one binding of one license, once."""

from __future__ import annotations

from master.domain.estate.installations import License
from master.domain.licenses import balance
from master.service.licenses.documents import Certificate, DocumentProblem, DocumentRefusedError, check_own_device
from master.service.licenses.license_changes import LicenseChanges, plain
from master.service.licenses.moves import MoveRules, try_to_complete


def certify(changes: LicenseChanges, certificate: Certificate, rules: MoveRules) -> License:
    """Take a certificate whose signature was verified; return the license as it is now.

    A certificate that ended the last binding changes nothing when it comes again. A late one, from a device declared
    dead, ends the waiting.
    Raises DocumentRefusedError if it is not that device's to give, or belongs to a release that is over.
    """
    check_own_device(changes.estate, certificate.handed_in_by, certificate.device)
    license = changes.find(certificate.license)
    if license is None or license.file is None:
        raise DocumentRefusedError(
            DocumentProblem.REPLAYED, f"license {certificate.license!r} is not in project {certificate.project}"
        )
    said = balance.proof_of(
        device=certificate.device, public_key=certificate.public_key, number=certificate.number, nonce=certificate.nonce
    )
    if license.last_proof == said:
        return _came_late(changes, license, certificate)
    if license.release is None or (license.binding, license.release.nonce) != (certificate.number, certificate.nonce):
        raise DocumentRefusedError(
            DocumentProblem.REPLAYED, f"no release of {license.id} asks for it; ask for a release, and certify that one"
        )
    assert license.device is not None
    if (license.device.name, license.device.public_key) != (certificate.device, certificate.public_key):
        raise DocumentRefusedError(
            DocumentProblem.OTHER_DEVICE,
            f"{license.ref} is bound to {license.device.name}, not to {certificate.device}",
        )
    if license.release.certified:
        return license
    after = balance.certified(license)
    changes.put(after)
    changes.event(
        "license.certified", {"license": license.id, "device": certificate.device, "binding": certificate.number}
    )
    after = try_to_complete(changes, after, rules) or after
    changes.write()
    return after


def _came_late(changes: LicenseChanges, license: License, certificate: Certificate) -> License:
    if license.held_until is None or changes.now >= license.held_until:
        return license
    after = balance.cleared(license)
    changes.put(after)
    changes.event(
        "license.cleared",
        {"license": license.id, "device": certificate.device, "before": plain(license), "after": plain(after)},
    )
    changes.write()
    return after
