"""Whose signatures count: vendors' keys per project, devices' keys against one-time tokens.

A vendor's first key is trusted on an operator's word; the next ones may be introduced by a key that is trusted already.
A device that holds licenses keeps its key: a new one could certify what only the old device can know (L2). Its first
key certifies those alone that were bound after it came, unless its own PBX brought it, or a second operator agrees.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from licensemaster.values import token_hash
from master.domain.estate.installations import License
from master.domain.licenses import balance
from master.domain.seats.refusals.reasons import MOST_NAMED
from master.service.licenses.documents import DocumentProblem, DocumentRefusedError, Enrollment, check_own_device
from master.service.licenses.license_changes import LicenseChanges
from master.store.backends.database import Tx
from master.store.statements import licenses as store
from master.values import Value, replace

KEYS_MAX = 1000
"""How many vendors' keys a project may ever trust: all are kept, as what one issued stays, and listed at once."""


class UnknownDeviceError(LookupError):
    """The project has no such device."""

    def __init__(self, project: str, device: str) -> None:
        super().__init__(f"projects/{project}/devices/{device} is unknown; `license-master device list` lists them")


class UnknownKeyError(LookupError):
    """The project never trusted such a key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"key {key_id!r} is unknown; `license-master vendor keys` lists them")


class TooManyKeysError(Exception):
    """The project has trusted as many vendors' keys as it may, distrusted ones included."""


class DeviceKeptError(Exception):
    """A device cannot get a new key while licenses are bound to it under the old one."""


class TrustKey(Value, kw_only=True):
    """A request to trust a vendor's key."""

    key_id: str
    public_key: bytes
    display_name: str
    introduced_by: str
    """The key that introduced the vendor's key; empty where an operator does."""
    retire_previous_at: float | None


def trust_key(changes: LicenseChanges, request: TrustKey) -> store.VendorKey:
    """Trust a vendor's key from now on; a key that is trusted already stays as it is.
    Raises DocumentRefusedError if the introducing key is not trusted, or the new key was distrusted before,
    TooManyKeysError if the project has as many keys as it may."""
    tx, project_id = changes.tx, changes.estate.project_id
    keys = store.vendor_keys(tx, project_id)
    known = _find(keys, request.key_id)
    if known is not None and known.distrusted_at is None:
        return known
    if request.introduced_by:
        introducer = trusted_key(tx, project_id, request.introduced_by)
        if known is not None:
            raise DocumentRefusedError(DocumentProblem.KEY_DISTRUSTED, f"an operator distrusted key {known.key_id}")
        if introducer.retires_at is not None and introducer.retires_at < changes.now:
            raise DocumentRefusedError(DocumentProblem.KEY_RETIRED, f"key {introducer.key_id} introduces no more keys")
        if request.retire_previous_at is not None:
            store.write_vendor_key(tx, project_id, replace(introducer, retires_at=request.retire_previous_at))
    if known is None and len(keys) >= KEYS_MAX:
        raise TooManyKeysError(
            f"a project trusts at most {KEYS_MAX:,} vendors' keys, those included that it distrusted"
        )
    key = store.VendorKey(
        key_id=request.key_id,
        display_name=request.display_name,
        public_key=request.public_key,
        trusted_at=changes.now,
        introduced_by=request.introduced_by,
    )
    store.write_vendor_key(tx, project_id, key)
    changes.event(
        "vendor_key.trusted",
        {"key": key.key_id, "name": key.display_name, "introduced_by": key.introduced_by or "operator"},
    )
    changes.write()
    return key


def distrust_key(changes: LicenseChanges, key_id: str) -> store.VendorKey:
    """Stop trusting a vendor's key. Raises UnknownKeyError if the project never trusted the key."""
    known = _find(store.vendor_keys(changes.tx, changes.estate.project_id), key_id)
    if known is None:
        raise UnknownKeyError(key_id)
    if known.distrusted_at is not None:
        return known
    after = replace(known, distrusted_at=changes.now)
    store.write_vendor_key(changes.tx, changes.estate.project_id, after)
    changes.event("vendor_key.distrusted", {"key": known.key_id, "name": known.display_name})
    changes.write()
    return after


def trusted_key(tx: Tx, project_id: int, key_id: str) -> store.VendorKey:
    """Return a vendor's key that the project trusts now.
    Raises DocumentRefusedError if the key is not, or no longer, trusted."""
    vendor_key = _find(store.vendor_keys(tx, project_id), key_id)
    if vendor_key is None:
        raise DocumentRefusedError(DocumentProblem.UNKNOWN_KEY, f"{key_id!r}; trust the vendor's key first")
    if vendor_key.distrusted_at is not None:
        raise DocumentRefusedError(DocumentProblem.KEY_DISTRUSTED, f"an operator distrusted key {key_id}")
    return vendor_key


def open_enrollment(changes: LicenseChanges, name: str, token: str, *, lasts_seconds: float) -> float:
    """Store the hash of a one-time token with which a device shows its key; return when the token ends, UNIX seconds.
    Raises UnknownDeviceError if there is no device of that name, DeviceKeptError if the device has a key, and licenses
    that only that key can certify."""
    device, ends_at = _device(changes, name), changes.now + lasts_seconds
    _check_replaceable(changes, device)
    store.write_token(changes.tx, device.id, token_hash=token_hash(token), ends_at=ends_at, by=changes.caller)
    changes.event("device.enrollment_opened", {"device": name})
    changes.write()
    return ends_at


def enroll(changes: LicenseChanges, request: Enrollment) -> None:
    """Check a device's enrollment and store the device's key.

    Raises:
        UnknownDeviceError: there is no such device.
        DocumentRefusedError: the token is wrong, used or out of date.
        DeviceKeptError: the device has another key by now, and licenses that only that key can certify.
    """
    check_own_device(changes.estate, request.handed_in_by, request.device)
    device = _device(changes, request.device)
    if device.token_hash is None or not hmac.compare_digest(device.token_hash, token_hash(request.token)):
        raise DocumentRefusedError(
            DocumentProblem.TOKEN_INVALID, f"it does not open the enrollment of {request.device}"
        )
    if device.token_ends_at is None:
        if device.public_key == request.public_key:
            return  # a retry
        raise DocumentRefusedError(DocumentProblem.TOKEN_INVALID, "another key was enrolled with it")
    if changes.now > device.token_ends_at:
        raise DocumentRefusedError(DocumentProblem.TOKEN_INVALID, "it is out of date; make a new one")
    if device.public_key != request.public_key:
        _check_replaceable(changes, device)
    if device.public_key is None and request.handed_in_by is None:  # else its own PBX proved who brings it
        on_word_of = tuple(filter(None, (device.token_by, changes.caller)))
        for license in _bound_to(changes, device):
            changes.put(balance.key_shown(license, on_word_of=on_word_of))
    store.write_device_key(changes.tx, device.id, key_id=request.key_id, public_key=request.public_key, now=changes.now)
    changes.mark_changed()
    changes.event("device.enrolled", {"device": request.device, "key": request.key_id, "before": device.key_id or ""})
    changes.write()


def _device(changes: LicenseChanges, name: str) -> store.StoredDevice:
    stored_device = next(
        (device for device in store.devices(changes.tx, changes.estate.project_id) if device.name == name), None
    )
    if stored_device is None:
        raise UnknownDeviceError(changes.estate.name, name)
    return stored_device


def _bound_to(changes: LicenseChanges, device: store.StoredDevice) -> list[License]:
    """Return the imported licenses that are bound to a device."""
    imported = (license for license in changes.estate.licenses if license.file is not None)
    return [license for license in imported if license.device is not None and license.device.id == device.id]


def _check_replaceable(changes: LicenseChanges, device: store.StoredDevice) -> None:
    bound = [license.id for license in _bound_to(changes, device)]
    if device.public_key is not None and bound:
        raise DeviceKeptError(
            f"{device.name} has key {device.key_id}, and {', '.join(bound[:MOST_NAMED])} bound to it: a new key"
            " could certify what only the old device can know; release the licenses first (if it is dead, as dead)"
        )


def _find(keys: Sequence[store.VendorKey], key_id: str) -> store.VendorKey | None:
    return next((key for key in keys if key.key_id == key_id), None)
