"""What verified documents say, as the transport hands them over, and why one is refused all the same.

That a signature is genuine was found before anything was read; whether its key is trusted is asked again under lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from master.domain.estate.estate import Estate
from master.service.runtime.names import PbxName
from master.values import Value


class DocumentProblem(Enum):
    """Why a document is refused; the names are those of the API's ErrorInfo."""

    WRONG_KIND = "it is a document of another kind"
    UNREADABLE = "it cannot be read"
    CONTENT_INVALID = "something in it makes no sense"
    BAD_SIGNATURE = "it is forged or altered"
    UNKNOWN_KEY = "its key is not trusted here"
    KEY_DISTRUSTED = "its key is trusted no longer"
    KEY_RETIRED = "its key was retired before it was issued"
    TOKEN_INVALID = "its one-time token is wrong, used or out of date"
    OTHER_PROJECT = "it is for another project"
    OTHER_CATALOG = "it is for another catalog"
    OTHER_DEVICE = "it is for another device"
    NOT_YET_VALID = "it is not valid yet"
    EXPIRED = "it is no longer valid"
    REPLAYED = "it was used before, or belongs to a release that is over"


class DocumentRefusedError(Exception):
    """A document is refused and changes nothing."""

    def __init__(self, problem: DocumentProblem, detail: str) -> None:
        super().__init__(f"{problem.value}: {detail}")
        self.problem = problem


def check_own_device(estate: Estate, proven: PbxName | None, device: str) -> None:
    """Check that a PBX, where one proved that it calls, hands in documents of its own device only.
    Raises DocumentRefusedError if the document is of another device."""
    if proven is None:
        return
    pbx_id = estate.pbx_ids.get(proven.pbx) if proven.project == estate.name else None
    if pbx_id is None or estate.pbxs[pbx_id].device.name != device:
        raise DocumentRefusedError(
            DocumentProblem.OTHER_DEVICE, f"{proven} hands in documents of the device that it runs on, not of {device}"
        )


class FileItem(Value, kw_only=True):
    """One purchased item of a license file; `type` is its printed name."""

    id: str
    type: str
    quantity: int
    replaces: str
    agreement_ends_at: float | None


class LicenseFile(Value, kw_only=True):
    """A vendor's file; times are UNIX seconds."""

    id: str
    catalog: str
    project: str
    issued_at: float
    expires_at: float
    items: Sequence[FileItem]
    key_id: str
    document: bytes
    """The whole signed document."""
    is_said_by: Callable[[bytes], bool]
    """Whether a stored document says the same: a file is what was signed, not the envelope around it."""


class Certificate(Value, kw_only=True):
    """A device's statement that it no longer uses a license (L2)."""

    project: str
    device: str
    license: str
    number: int
    nonce: bytes
    public_key: bytes
    """The key that the certificate was verified with."""
    handed_in_by: PbxName | None = None
    """The PBX that proved that it handed the certificate in; None where the caller is no PBX."""


class Enrollment(Value, kw_only=True):
    """A statement by which a device shows its key, signed with that key."""

    project: str
    device: str
    token: str
    key_id: str
    public_key: bytes
    handed_in_by: PbxName | None = None
    """The PBX that proved that it handed the enrollment in; None where the caller is no PBX."""
