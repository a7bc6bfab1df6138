"""The state directory: what a client must know again after a restart.

A few files (`state_files`), and a journal:
- `identity`: the PBX, this installation's instance id, and the master's key as pinned on first use;
- `lease`: the last signed lease, the seats held under it, and how long it still lasted when this was written;
- `granted-N`: seats used by their number since the lease was written;
- `standby-PBX`: for a standby, the signed standby lease for the PBX that it may take over for (`standby_leases`).

Decides: who may use the directory, and that a file is this PBX's. `recover` never raises: it sets a file that cannot be
relied on aside as `*.corrupt`, says so, and goes on without it, because a PBX must start.
Leaves to others: when to write (`state_writer`), what the seats mean (`local_seats`).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from licensemaster.files.folder_lock import FolderLock, NameLock
from licensemaster.signing.verified_lease import LeaseVerificationError
from slave_client.storage.journal import Journal
from slave_client.storage.kept_lease import KeptLease, LeaseTexts, journal_number, lease_of, with_journal
from slave_client.storage.state_files import StateDirError, StateFiles, as_json, corrupt, raw_bytes, text
from slave_client.values.seats import Held

IDENTITY: Final = "identity"
LEASE: Final = "lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    pbx: str
    instance_id: str
    pinned_key: bytes = b""
    """The first master's public key that was seen, raw Ed25519; empty until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What could be read from the state directory at a start."""

    identity: Identity | None
    lease: KeptLease | None
    problems: tuple[str, ...]
    """One sentence for each file that was set aside or could not be read, with its remedy."""


class StateDir:
    """The state directory of one PBX. One client at a time may use the directory or a copy of it (`claim`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._locks: list[FolderLock | NameLock] = []
        self.journal = Journal(path)
        self.files = StateFiles(path)
        self._lease_texts = LeaseTexts()

    def claim(self) -> None:
        """Lock the directory until `leave`, or the end of the process; make the directory where there is none.

        A directory that cannot be made or opened is not locked: reading and writing will say why.
        Raises FolderInUseError if another client has the directory, or its file system cannot lock.
        """
        with contextlib.suppress(OSError):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._locks.append(FolderLock.take(self.path))

    def claim_identity(self, instance_id: str) -> None:
        """Lock the identity on this host; raises FolderInUseError where another client has it, in a folder's copy."""
        self._locks.append(NameLock.take(f"license-master-slave-{instance_id}", self.path))

    def leave(self) -> None:
        self.journal.close()
        while self._locks:
            self._locks.pop().release()

    def load_identity(self, *, pbx: str) -> Identity | None:
        """Return the kept identity, None where there is none. Raises StateDirError, also for another PBX's identity."""
        file, fields = self.files.path(IDENTITY), self.files.read(IDENTITY)
        if fields is None:
            return None
        try:
            identity = Identity(
                pbx=text(fields["pbx"]),
                instance_id=text(fields["instance_id"]),
                pinned_key=raw_bytes(fields["pinned_key"]),
            )
        except (KeyError, TypeError, ValueError) as failure:
            raise corrupt(file, f"its content makes no sense ({failure!r})") from failure
        if identity.pbx != pbx:
            raise corrupt(file, f"it belongs to {identity.pbx!r}, not to {pbx!r}")
        return identity

    def save_identity(self, identity: Identity) -> None:
        """Write the identity. Raises OSError."""
        pinned_key = base64.b64encode(identity.pinned_key).decode()
        fields = {"pbx": identity.pbx, "instance_id": identity.instance_id, "pinned_key": pinned_key}
        self.files.write(IDENTITY, as_json(fields))

    def load_lease(self, *, pbx: str, trusted_keys: Collection[bytes]) -> KeptLease | None:
        """Return the kept lease with its journal's seats, None where there is none.

        Raises StateDirError, also where the lease is another PBX's or does not verify with a trusted key.
        """
        file, fields = self.files.path(LEASE), self.files.read(LEASE)
        if fields is None:
            return None
        try:
            fields = with_journal(fields, self.journal.lines(journal_number(fields)))
            return lease_of(fields, pbx=pbx, trusted_keys=trusted_keys)
        except LeaseVerificationError as failure:
            raise corrupt(file, str(failure)) from failure
        except (KeyError, TypeError, ValueError) as failure:
            raise corrupt(file, f"its content makes no sense ({failure!r})") from failure

    def save_lease(self, lease: KeptLease, *, journal: int = 0) -> None:
        """Write the lease and its seats; seats used later are in journals from `journal` on. Raises OSError."""
        self.files.write(LEASE, self._lease_texts.of(lease, journal=journal))
        self.journal.forget_before(journal)

    def remove_lease(self, *, journal: int = 0) -> None:
        """Remove the kept lease if there is one, and the journals before number `journal`. Raises OSError."""
        self.files.remove(LEASE)
        self.journal.forget_before(journal)

    def append(self, seats: Iterable[Held]) -> None:
        """Add seats that are used from now on to the journal, for a restart. Raises OSError."""
        self.journal.append(*map(self._lease_texts.of_seat, seats))


def recover(state_dir: StateDir, *, pbx: str, trusted_keys: Collection[bytes] = ()) -> Recovered:
    """Load the identity and lease that can be relied on; set other files aside. Never raises because of the content.

    The kept lease must verify with a trusted key or, where none is configured, with the pinned key; without either the
    lease proves nothing and is set aside.
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
            raise corrupt(state_dir.path / LEASE, "there is no trusted key to verify it with")
    except StateDirError as failure:
        problems.append(_set_aside(state_dir, LEASE, failure))
    return Recovered(identity=identity, lease=lease, problems=tuple(problems))


def _set_aside(state_dir: StateDir, name: str, failure: StateDirError) -> str:
    try:
        aside = state_dir.files.set_aside(name)
    except OSError as trouble:
        return f"{failure} It could not be set aside either ({trouble.strerror})."
    return f"{failure} It was set aside as {aside.name}; the client starts without it."
