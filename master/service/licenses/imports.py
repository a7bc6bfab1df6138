"""Takes the licenses of a vendor's signed file into the project balance: once, whole, and only for its project.

A file that was imported before changes nothing and is answered alike; another one under the same number is refused.
"""

from __future__ import annotations

from licensemaster.values.moments import minute_text
from master.domain.catalog.catalog import Catalog, LicenseName, UnknownLicenseNameError
from master.domain.estate.installations import License
from master.domain.estate.project import FILE_ITEMS_MAX, QUANTITY_MAX, is_name
from master.service.licenses.documents import DocumentProblem, DocumentRefusedError, FileItem, LicenseFile
from master.service.licenses.keys import trusted_key
from master.service.licenses.license_changes import LicenseChanges, plain
from master.store.statements import licenses as store
from master.values import Value, replace


class Imported(Value):
    """The licenses of an imported file as they are now."""

    file: str
    already_imported: bool
    items: tuple[License, ...]


def import_licenses(changes: LicenseChanges, file: LicenseFile) -> Imported:
    """Import a file whose signature was verified.

    Raises:
        DocumentRefusedError: the file is not for this project, not valid now, or makes no sense; nothing was changed.
    """
    tx, project_id = changes.tx, changes.estate.project_id
    if not is_name(file.id):
        raise DocumentRefusedError(DocumentProblem.CONTENT_INVALID, f"its id {file.id[:80]!r} is no name")
    if (known := store.imported_file(tx, project_id, file.id)) is not None:
        if not file.is_said_by(known.document):
            raise DocumentRefusedError(DocumentProblem.REPLAYED, f"another file {file.id} was imported before")
        return Imported(file.id, True, tuple(license for license in changes.estate.licenses if license.file == file.id))
    _check_whom_it_is_for(changes, file)
    licenses = [_taken_in(changes, file, file_item) for file_item in file.items]
    store.write_file(tx, project_id, store.ImportedFile(file.id, file.key_id, file.document), changes.now)
    changes.event(
        "licenses.imported",
        {"file": file.id, "key": file.key_id, "licenses": {license.id: plain(license) for license in licenses}},
    )
    changes.write()
    return Imported(file.id, False, tuple(licenses))


def _check_whom_it_is_for(changes: LicenseChanges, file: LicenseFile) -> None:
    key = trusted_key(changes.tx, changes.estate.project_id, file.key_id)
    if key.retires_at is not None and file.issued_at > key.retires_at:
        retired, issued = minute_text(key.retires_at), minute_text(file.issued_at)
        detail = f"key {key.key_id} was retired on {retired}, the file was issued on {issued}"
        raise DocumentRefusedError(DocumentProblem.KEY_RETIRED, detail)
    if file.project != changes.estate.name:
        raise DocumentRefusedError(
            DocumentProblem.OTHER_PROJECT, f"it is for {file.project!r}, not for {changes.estate.name!r} (rule L3)"
        )
    if file.catalog != changes.estate.catalog.name:
        detail = f"its licenses are of {file.catalog!r}, the project's of {changes.estate.catalog.name!r}"
        raise DocumentRefusedError(DocumentProblem.OTHER_CATALOG, detail)
    if changes.now < file.issued_at:
        raise DocumentRefusedError(
            DocumentProblem.NOT_YET_VALID, f"it was issued on {minute_text(file.issued_at)}; check both clocks"
        )
    if changes.now > file.expires_at:
        raise DocumentRefusedError(
            DocumentProblem.EXPIRED, f"it had to be imported by {minute_text(file.expires_at)}; ask for a new one"
        )
    if not 1 <= len(file.items) <= FILE_ITEMS_MAX:
        raise DocumentRefusedError(
            DocumentProblem.CONTENT_INVALID, f"it has {len(file.items)} licenses; 1 to {FILE_ITEMS_MAX} may be"
        )


def _taken_in(changes: LicenseChanges, file: LicenseFile, file_item: FileItem) -> License:
    """Put one license of the file into the balance; the license that it replaces leaves the balance."""
    name = _read(changes.estate.catalog, file_item)
    if (present := changes.find(file_item.id)) is not None:
        origin = f"file {present.file}" if present.file else "the project file"
        raise DocumentRefusedError(
            DocumentProblem.REPLAYED, f"license {file_item.id} is in the project already, from {origin}"
        )
    fresh = License(
        id=file_item.id,
        type=name.type,
        version=name.version,
        tier=name.tier,
        quantity=file_item.quantity,
        device=None,
        file=file.id,
        agreement_ends_at=file_item.agreement_ends_at,
        file_agreement_ends_at=file_item.agreement_ends_at,
        imported_at=changes.now,
    )
    if file_item.replaces:
        fresh = _converted(changes, fresh, file_item.replaces)
    changes.put(fresh)
    return fresh


def _converted(changes: LicenseChanges, fresh: License, replaced_id: str) -> License:
    """Return the new license that replaces a free one of another version: its agreement is void (L6), its first binding
    is kept (L7).
    """
    old = changes.find(replaced_id)
    if old is None or old.file is None or old.agreed is not None:
        raise _invalid(fresh.id, f"it replaces {replaced_id!r}, which is no imported license of this project")
    if old.device is not None:
        raise _invalid(fresh.id, f"it replaces {old.ref}, which is not free; release it first (rule L6)")
    if (old.type, old.tier, old.quantity) != (fresh.type, fresh.tier, fresh.quantity):
        raise _invalid(fresh.id, f"it replaces {old.ref} by {fresh.ref}; only the version may differ (rules I3, L6)")
    changes.remove(old.id)
    changes.event(
        "license.converted", {"license": old.id, "before": plain(old), "after": plain(fresh), "now": fresh.id}
    )
    return replace(fresh, first_bound_at=old.first_bound_at, held_until=old.held_until)


def _read(catalog: Catalog, file_item: FileItem) -> LicenseName:
    if not is_name(file_item.id):
        raise _invalid(file_item.id[:80], "its id must be 1 to 63 of a-z, 0-9 and '-'")
    if not 1 <= file_item.quantity <= QUANTITY_MAX:
        raise _invalid(file_item.id, f"its quantity {file_item.quantity} must be between 1 and {QUANTITY_MAX:,}")
    try:
        return catalog.read_name(file_item.type)
    except UnknownLicenseNameError as error:
        raise _invalid(file_item.id, str(error)) from error


def _invalid(license_id: str, detail: str) -> DocumentRefusedError:
    return DocumentRefusedError(DocumentProblem.CONTENT_INVALID, f"license {license_id!r}: {detail}")
