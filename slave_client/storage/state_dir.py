"""The state directory: what a client must know again after a restart.

A few files, each written whole: to a temporary name, synced, renamed, and the directory synced.
- `identity`: the PBX, this installation's instance id, and the master's key as pinned on first use;
- `lease`: the last signed lease, the seats held under it, and how long it still lasted when this was written;
- `standby-PBX`: for a standby, the signed standby lease for the PBX that it may take over for.

A file is one header line (format, version, name, SHA-256 of the rest) and JSON, so that an operator can read it.

Decides: whether a file can be relied on. A truncated, altered, foreign or unreadable one raises StateDirError;
`recover` never raises: it sets such a file aside as `*.corrupt`, says so, and goes on without it, because a PBX must
start.
Leaves to others: when to write (`state_writer`), what the seats mean (`local_seats`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from licensemaster.api_enums import Basis, HolderKind
from licensemaster.files.folder_lock import FolderLock, NameLock
from licensemaster.files.writer import write_file
from licensemaster.signing import documents
from licensemaster.signing.documents import DocumentError
from licensemaster.signing.verified_lease import LeaseVerificationError, VerifiedLease, verify
from licensemaster.v1 import document_pb2
from licensemaster.values import short_text
from slave_client.storage.journal import Journal
from slave_client.values.seats import Held, SeatKey, Want

FORMAT: Final = "license-master-slave-state"
VERSION: Final = 1
IDENTITY: Final = "identity"
LEASE: Final = "lease"
_UNKNOWN_BASIS: Final = "UNKNOWN"


class StateDirError(Exception):
    """Raised for a file of the state directory that cannot be relied on: which one, why, and what an operator does."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    pbx: str
    instance_id: str
    pinned_key: bytes = b""
    """The master's public key, raw Ed25519, as seen first; empty until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLease:
    """A lease and what is held under it, as kept on disk."""

    verified: VerifiedLease
    remaining_seconds: float
    """How long the signed lease still lasted when this was written, by the steady clock."""
    saved_wall: float
    """When this was written: seconds since 1970 by the PBX's wall clock."""
    held: tuple[Held, ...]
    idle: tuple[Held, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a start could read of the state directory."""

    identity: Identity | None
    lease: KeptLease | None
    problems: tuple[str, ...]
    """One sentence for each file that was set aside or could not be read, with its remedy."""


class StateDir:
    """The directory of one PBX. One client at a time may use it, nor may a copy of it be used beside it (`claim`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: list[FolderLock | NameLock] = []
        self.journal = Journal(path)
        self._texts: dict[int, tuple[Held, str]] = {}
        """Each seat as it was written last, by identity: most are written again and again, and stay as they are."""

    def claim(self) -> None:
        """Lock the directory until `leave`, or the end of the process; make it where there is none.

        One that cannot be made or opened is nobody's: reading and writing it will say why.

        Raises:
            FolderInUseError: another has it, or its file system locks nothing.
        """
        with contextlib.suppress(OSError):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._locks.append(FolderLock.take(self.path))

    def claim_identity(self, instance_id: str) -> None:
        """Lock the identity on this host; raises FolderInUseError where another has it: this is a copy then."""
        self._locks.append(NameLock.take(f"license-master-slave-{instance_id}", self.path))

    def leave(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def load_identity(self, *, pbx: str) -> Identity | None:
        """Return the kept identity, None where there is none. Raises StateDirError, also where it is another PBX's."""
        file = self.path / IDENTITY
        fields = self._read(file, IDENTITY)
        if fields is None:
            return None
        try:
            identity = Identity(
                pbx=_text(fields["pbx"]),
                instance_id=_text(fields["instance_id"]),
                pinned_key=_bytes(fields["pinned_key"]),
            )
        except (KeyError, TypeError, ValueError) as failure:
            raise _corrupt(file, f"its content makes no sense ({failure!r})") from failure
        if identity.pbx != pbx:
            raise _corrupt(file, f"it belongs to {identity.pbx!r}, not to {pbx!r}")
        return identity

    def save_identity(self, identity: Identity) -> None:
        """Write the identity. Raises OSError."""
        self._write(
            IDENTITY,
            {
                "pbx": identity.pbx,
                "instance_id": identity.instance_id,
                "pinned_key": base64.b64encode(identity.pinned_key).decode(),
            },
        )

    def load_lease(self, *, pbx: str, trusted_keys: Collection[bytes]) -> KeptLease | None:
        """Return the kept lease, None where there is none.

        Raises StateDirError, also where it is another PBX's or its signature does not verify with a trusted key.
        """
        file = self.path / LEASE
        fields = self._read(file, LEASE)
        if fields is None:
            return None
        try:
            self._add_journal(fields)
            return _lease_of(fields, pbx=pbx, trusted_keys=trusted_keys)
        except LeaseVerificationError as failure:
            raise _corrupt(file, str(failure)) from failure
        except (KeyError, TypeError, ValueError) as failure:
            raise _corrupt(file, f"its content makes no sense ({failure!r})") from failure

    def save_lease(self, lease: KeptLease, *, journal: int = 0) -> None:
        """Write the lease and its seats; those used since stand in the journal of that number. Raises OSError."""
        texts = {id(seat): self._texts.get(id(seat)) or (seat, _seat_text(seat)) for seat in (*lease.held, *lease.idle)}
        self._texts = texts
        held, idle = (f"[{','.join([texts[id(seat)][1] for seat in seats])}]" for seats in (lease.held, lease.idle))
        kept = _json(_fields_of(lease) | {"journal": journal})
        self._write_body(LEASE, f'{kept[:-1]},"held":{held},"idle":{idle}}}')
        self.journal.forget_before(journal)

    def append(self, want: Want) -> None:
        """Write down, for a restart, a seat that is used by its number from now on. Raises OSError."""
        held = Held(want=want, basis=Basis.DEBITED, included_in="", device="", reassignable=True, counted_as=want.key)
        self.journal.append(_seat_text(held))

    def _add_journal(self, fields: dict[str, Any]) -> None:
        """Add the seats that were used after the lease was written."""
        names = {json.dumps(seat[:3]) for name in ("held", "idle") for seat in fields[name]}
        for line in self.journal.lines(int(fields.get("journal", 0))):
            seat = json.loads(line)
            if (name := json.dumps(seat[:3])) not in names:
                names.add(name)
                fields["held"].append(seat)

    def load_standby_lease(self, primary: str) -> dict[str, Any] | None:
        """Return the fields of the standby lease kept for a PBX, None where there is none. Raises StateDirError."""
        name = _standby_name(primary)
        return self._read(self.path / name, name)

    def save_standby_lease(self, primary: str, fields: dict[str, object]) -> None:
        """Write the standby lease for a PBX. Raises OSError."""
        self._write(_standby_name(primary), fields)

    def remove_standby_lease(self, primary: str) -> None:
        """Make sure that no standby lease is kept for a PBX. Raises OSError."""
        (self.path / _standby_name(primary)).unlink(missing_ok=True)
        self._sync_directory()

    def remove_lease(self) -> None:
        """Make sure that no lease is kept. Raises OSError."""
        (self.path / LEASE).unlink(missing_ok=True)
        self.journal.forget_before(self.journal.begin())
        if self.path.is_dir():
            self._sync_directory()

    def set_aside(self, name: str) -> Path:
        """Rename a file to `*.corrupt` (replacing an older one) and return its new path. Raises OSError."""
        aside = self.path / f"{name}.corrupt"
        os.replace(self.path / name, aside)
        return aside

    def _read(self, file: Path, name: str) -> dict[str, Any] | None:
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise StateDirError(
                file, f"cannot be read ({failure.strerror})", "Give the PBX's user access to the state directory."
            ) from failure
        header, _, body = content.partition(b"\n")
        words = header.decode("ascii", "replace").split(" ")
        if len(words) != 4 or words[0] != FORMAT:
            raise _corrupt(file, "it is not a state file")
        if words[1] != str(VERSION):
            raise _corrupt(file, f"it has format version {words[1]}, this client reads {VERSION}")
        if words[2] != name or words[3] != hashlib.sha256(body).hexdigest():
            raise _corrupt(file, "its checksum is wrong: it was truncated or altered")
        try:
            fields = json.loads(body)
        except ValueError as failure:
            raise _corrupt(file, "it is not JSON") from failure
        if not isinstance(fields, dict):
            raise _corrupt(file, "its content makes no sense")
        return fields

    def _write(self, name: str, fields: dict[str, object]) -> None:
        self._write_body(name, _json(fields))

    def _write_body(self, name: str, text: str) -> None:
        body = text.encode() + b"\n"
        header = f"{FORMAT} {VERSION} {name} {hashlib.sha256(body).hexdigest()}\n".encode()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(self.path / name, header + body)

    def _sync_directory(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _standby_name(primary: str) -> str:
    return f"standby-{primary.rpartition('/')[2]}"


def recover(state_dir: StateDir, *, pbx: str, trusted_keys: Collection[bytes] = ()) -> Recovered:
    """Load what can be relied on; set aside what cannot. Never raises on what it finds on disk.

    The kept lease must verify with a trusted key or, where none is configured, with the pinned one; without either it
    proves nothing and is set aside.
    """
    problems: list[str] = []
    identity: Identity | None = None
    lease: KeptLease | None = None
    try:
        identity = state_dir.load_identity(pbx=pbx)
    except StateDirError as failure:
        problems.append(_set_aside(state_dir, IDENTITY, failure))
    keys = trusted_keys or ({identity.pinned_key} if identity and identity.pinned_key else set())
    try:
        if keys:
            lease = state_dir.load_lease(pbx=pbx, trusted_keys=keys)
        elif (state_dir.path / LEASE).exists():
            raise _corrupt(state_dir.path / LEASE, "there is no trusted key to verify it with")
    except StateDirError as failure:
        problems.append(_set_aside(state_dir, LEASE, failure))
    return Recovered(identity=identity, lease=lease, problems=tuple(problems))


def _set_aside(state_dir: StateDir, name: str, failure: StateDirError) -> str:
    try:
        aside = state_dir.set_aside(name)
    except OSError as trouble:
        return f"{failure} It could not be set aside either ({trouble.strerror})."
    return f"{failure} It was set aside as {aside.name}; the client starts without it."


def _corrupt(file: Path, problem: str) -> StateDirError:
    return StateDirError(
        file,
        problem,
        "Nothing is to be done while the master can be reached: the PBX gets a new lease and its seats from there. "
        "If it happens again, check the disk, and that no two PBXs share this directory.",
    )


def document_fields(document: document_pb2.SignedDocument) -> object:
    """Return a signed document as its file has it, for JSON."""
    return json.loads(documents.to_text(document))


def document_of(fields: object) -> document_pb2.SignedDocument:
    """Return the signed document of such fields, genuine or not; raises ValueError where they are none."""
    try:
        return documents.from_text(json.dumps(fields))
    except DocumentError as failure:
        raise ValueError(str(failure)) from failure


def _fields_of(lease: KeptLease) -> dict[str, object]:
    """Return what is written of a lease besides its seats."""
    verified = lease.verified
    return {
        "pbx": verified.pbx,
        "document": document_fields(verified.document),
        "public_key": base64.b64encode(verified.public_key).decode(),
        "remaining_seconds": lease.remaining_seconds,
        "saved_wall": lease.saved_wall,
    }


def _lease_of(fields: dict[str, Any], *, pbx: str, trusted_keys: Collection[bytes]) -> KeptLease:
    signed = document_of(fields["document"])
    verified = verify(signed, pbx=pbx, public_key=_bytes(fields["public_key"]), trusted_keys=trusted_keys)
    held, idle = _seats_of(fields)
    return KeptLease(
        verified=verified,
        remaining_seconds=float(fields["remaining_seconds"]),
        saved_wall=float(fields["saved_wall"]),
        held=held,
        idle=idle,
    )


def _seats_of(fields: dict[str, Any]) -> tuple[tuple[Held, ...], tuple[Held, ...]]:
    """Return the seats held and those idle; a seat that was kept under several spellings of its holder is one."""
    kept = [(seat, name) for name in ("held", "idle") for seat in fields[name]]
    if len({json.dumps([seat[:3], seat[10:]]) for seat, _ in kept}) != len(kept):
        raise ValueError("a seat is listed twice")
    seats: dict[str, dict[SeatKey, Held]] = {"held": {}, "idle": {}}
    for fields_of_seat, name in kept:
        seat = _held_of(fields_of_seat)
        if not any(seat.counted_as in known for known in seats.values()):
            seats[name][seat.counted_as] = seat
    return tuple(seats["held"].values()), tuple(seats["idle"].values())


def _seat_text(held: Held) -> str:
    want, counted = held.want, held.counted_as
    fields: list[object] = [want.license_type, want.holder_kind.name, want.holder]
    fields += [want.user, want.line, want.application_version]
    fields += [
        _UNKNOWN_BASIS if held.basis is None else held.basis.name,
        held.included_in,
        held.device,
        int(held.reassignable),
    ]
    if held.passed_on:
        fields += [counted.holder_kind.name, counted.holder]
    return _json(fields)


def _held_of(fields: list[Any]) -> Held:
    kind, holder, user, line, application = HolderKind[fields[1]], *fields[2:6]
    want = Want(_text(fields[0]), kind, _text(holder), _text(user), _text(line), _text(application))
    passed_on = len(fields) > 10
    return Held(
        want=want,
        basis=None if fields[6] == _UNKNOWN_BASIS else Basis[fields[6]],
        included_in=_text(fields[7]),
        device=_text(fields[8]),
        reassignable=bool(fields[9]),
        counted_as=_counted_as(want, *fields[10:12]) if passed_on else want.key,
    )


def _counted_as(want: Want, kind: str, holder: object) -> SeatKey:
    return SeatKey(want.license_type, HolderKind[kind], short_text(_text(holder)))


_json: Final = json.JSONEncoder(separators=(",", ":")).encode


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _bytes(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as failure:
        raise ValueError("base64 was expected") from failure
