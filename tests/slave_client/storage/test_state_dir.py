"""What is kept is found again; what is corrupt is named, set aside, and harms nobody."""

from __future__ import annotations

import dataclasses
import json
import os
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from licensemaster.signing.verified_lease import ClockReading, verify
from slave_client import Basis, HolderKind, Want
from slave_client.storage.kept_lease import KeptLease
from slave_client.storage.state_dir import Identity, StateDir, recover
from slave_client.storage.state_files import StateDirError
from slave_client.values.seats import Held, SeatKey
from tests.slave_client.signing import PBX, Signer

SIGNER = Signer()
IDENTITY = Identity(pbx=PBX, instance_id="abc", pinned_key=SIGNER.public_key)


def _held(holder: str, counted_as: str = "", basis: Basis | None = Basis.DEBITED) -> Held:
    return Held(
        want=Want("port", HolderKind.USER, holder),
        basis=basis,
        included_in="",
        device="vm-1",
        reassignable=True,
        counted_as=SeatKey("port", HolderKind.USER, counted_as or holder),
    )


def _kept(signer: Signer = SIGNER) -> KeptLease:
    return KeptLease(
        verified=verify(signer.sign(), pbx=PBX, public_key=signer.public_key),
        remaining_seconds=321.5,
        saved=ClockReading(wall=1_000_100.25, steady=100.5, boot="first"),
        held=(_held("alice"), _held("bob", counted_as="carol")),
        idle=(_held("dave", basis=None),),
    )


@pytest.fixture
def state_dir(tmp_path: Path) -> StateDir:
    state_dir = StateDir(tmp_path / "deep" / "state")
    state_dir.save_identity(IDENTITY)
    state_dir.save_lease(_kept())
    return state_dir


def _rewrite(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change a file's content and make its checksum fit again."""
    header, _, body = path.read_bytes().partition(b"\n")
    fields = json.loads(body)
    change(fields)
    body = json.dumps(fields).encode()
    words = header.decode().split(" ")
    path.write_bytes(" ".join([*words[:3], sha256(body).hexdigest()]).encode() + b"\n" + body)


def test_what_was_kept_is_found_again(state_dir: StateDir) -> None:
    recovered = recover(state_dir, pbx=PBX)
    assert (recovered.identity, recovered.lease, recovered.problems) == (IDENTITY, _kept(), ())


def test_a_file_of_before_the_steady_clock_was_kept_is_read(state_dir: StateDir) -> None:
    _rewrite(state_dir.path / "lease", lambda fields: [fields.pop(name) for name in ("saved_steady", "saved_boot")])
    lease = recover(state_dir, pbx=PBX).lease
    assert lease is not None
    assert lease.saved == ClockReading(wall=1_000_100.25, steady=0.0, boot="")


def test_seats_used_after_a_restart_are_found_at_the_next_one(tmp_path: Path) -> None:
    """Killed before the state is written again, which may name a journal to which nothing was ever added."""
    first = StateDir(tmp_path)
    first.save_identity(IDENTITY)
    first.save_lease(_kept(), journal=7)
    again = StateDir(tmp_path)
    assert recover(again, pbx=PBX).lease == _kept()
    again.append([_held("erin")])
    last = recover(StateDir(tmp_path), pbx=PBX).lease
    assert last is not None
    assert last.held == (*_kept().held, _held("erin"))


def test_nothing_kept_is_no_problem(tmp_path: Path) -> None:
    recovered = recover(StateDir(tmp_path / "new"), pbx=PBX)
    assert (recovered.identity, recovered.lease, recovered.problems) == (None, None, ())


def test_no_temporary_files_stay_and_the_rest_is_private(state_dir: StateDir) -> None:
    assert sorted(path.name for path in state_dir.path.iterdir()) == ["identity", "lease"]
    assert (state_dir.path / "lease").stat().st_mode & 0o077 == 0


def test_a_removed_lease_is_gone(state_dir: StateDir) -> None:
    state_dir.remove_lease()
    state_dir.remove_lease()
    assert recover(state_dir, pbx=PBX).lease is None


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 7)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def _newer_version(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"state 1 ", b"state 2 ", 1))


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)


def _no_fields(path: Path) -> None:
    _rewrite(path, lambda fields: fields.clear())


def _other_pbx(path: Path) -> None:
    _rewrite(path, lambda fields: fields.update(pbx="projects/acme/pbxs/rome"))


def _wrong_types(path: Path) -> None:
    _rewrite(path, lambda fields: fields.update(dict.fromkeys(fields, 17)))


def _not_an_object(path: Path) -> None:
    body = b"[]"
    name = path.name
    path.write_bytes(f"license-master-slave-state 1 {name} {sha256(body).hexdigest()}\n".encode() + body)


def _not_json(path: Path) -> None:
    body = b"{"
    name = path.name
    path.write_bytes(f"license-master-slave-state 1 {name} {sha256(body).hexdigest()}\n".encode() + body)


DAMAGES = [
    _truncate,
    _empty,
    _garbage,
    _newer_version,
    _flip_a_bit,
    _no_fields,
    _wrong_types,
    _not_an_object,
    _not_json,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_lease_is_set_aside_and_named(state_dir: StateDir, damage: Callable[[Path], None]) -> None:
    damage(state_dir.path / "lease")
    with pytest.raises(StateDirError) as caught:
        state_dir.load_lease(pbx=PBX, trusted_keys=(SIGNER.public_key,))
    assert caught.value.path == state_dir.path / "lease"
    assert caught.value.problem
    assert caught.value.remedy
    recovered = recover(state_dir, pbx=PBX)
    assert (recovered.identity, recovered.lease) == (IDENTITY, None)
    assert str(state_dir.path / "lease") in recovered.problems[0]
    assert "lease.corrupt" in recovered.problems[0]
    assert (state_dir.path / "lease.corrupt").exists()
    assert not (state_dir.path / "lease").exists()
    assert recover(state_dir, pbx=PBX).problems == ()


@pytest.mark.parametrize("damage", [*DAMAGES, _other_pbx])
def test_a_corrupt_identity_takes_the_lease_it_vouched_for_along(
    state_dir: StateDir, damage: Callable[[Path], None]
) -> None:
    damage(state_dir.path / "identity")
    recovered = recover(state_dir, pbx=PBX)
    assert (recovered.identity, recovered.lease) == (None, None)
    assert len(recovered.problems) == 2
    assert (state_dir.path / "identity.corrupt").exists()


def test_a_corrupt_identity_leaves_a_lease_that_a_configured_key_proves(state_dir: StateDir) -> None:
    _garbage(state_dir.path / "identity")
    recovered = recover(state_dir, pbx=PBX, trusted_keys=(SIGNER.public_key,))
    assert (recovered.identity, recovered.lease) == (None, _kept())


def test_a_lease_by_another_key_is_set_aside(state_dir: StateDir) -> None:
    state_dir.save_lease(_kept(Signer()))
    recovered = recover(state_dir, pbx=PBX)
    assert recovered.lease is None
    assert "does not trust" in recovered.problems[0]


def test_a_lease_whose_signature_does_not_verify_is_set_aside(state_dir: StateDir) -> None:
    kept = _kept()
    kept.verified.document.signature = b"x" * 64
    state_dir.save_lease(kept)
    recovered = recover(state_dir, pbx=PBX)
    assert recovered.lease is None
    assert "does not verify: the signature is not that of key" in recovered.problems[0]


@pytest.mark.parametrize("document", [None, 7, "text", [], {}, {"kind": "DOCUMENT_KIND_NONE"}, {"payload": "?"}])
def test_a_lease_whose_document_is_none_is_set_aside(state_dir: StateDir, document: object) -> None:
    _rewrite(state_dir.path / "lease", lambda fields: fields.update(document=document))
    recovered = recover(state_dir, pbx=PBX)
    assert recovered.lease is None
    assert "lease" in recovered.problems[0]


def test_a_lease_for_another_pbx_is_set_aside(state_dir: StateDir) -> None:
    rome = "projects/acme/pbxs/rome"
    signed = SIGNER.sign(pbx=rome)
    foreign = verify(signed, pbx=rome, public_key=SIGNER.public_key)
    state_dir.save_lease(dataclasses.replace(_kept(), verified=foreign))
    recovered = recover(state_dir, pbx=PBX)
    assert recovered.lease is None
    assert rome in recovered.problems[0]


def test_a_seat_listed_twice_is_not_believed(state_dir: StateDir) -> None:
    state_dir.save_lease(dataclasses.replace(_kept(), idle=(_held("alice"),)))
    recovered = recover(state_dir, pbx=PBX)
    assert recovered.lease is None
    assert "twice" in recovered.problems[0]


def test_a_holder_that_was_kept_in_several_spellings_is_one(state_dir: StateDir) -> None:
    def respell(fields: dict[str, object]) -> None:
        held, idle = cast(list[list[object]], fields["held"]), cast(list[list[object]], fields["idle"])
        held[0][2] = unicodedata.normalize("NFD", "Jürgen")
        held.append([*held[0][:2], "Jürgen ", *held[0][3:]])
        idle.append([*held[0][:2], "\ufeffJürgen", *held[0][3:]])

    _rewrite(state_dir.path / "lease", respell)
    recovered = recover(state_dir, pbx=PBX)
    assert recovered.problems == ()
    assert recovered.lease is not None
    assert [seat.want.holder for seat in recovered.lease.held] == ["Jürgen", "bob"]
    assert [seat.counted_as.holder for seat in (*recovered.lease.held, *recovered.lease.idle)] == [
        "Jürgen",
        "carol",
        "dave",
    ]


def test_a_directory_in_the_files_place_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "identity").mkdir()
    recovered = recover(StateDir(tmp_path), pbx=PBX)
    assert recovered.identity is None
    assert "cannot be read" in recovered.problems[0]


def test_a_path_that_is_no_directory_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    recovered = recover(StateDir(tmp_path / "state"), pbx=PBX)
    assert (recovered.identity, recovered.lease) == (None, None)
    with pytest.raises(OSError, match="state"):
        StateDir(tmp_path / "state").save_identity(IDENTITY)


def test_a_failed_write_leaves_the_old_file(state_dir: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state_dir.save_lease(dataclasses.replace(_kept(), held=()))
    monkeypatch.undo()
    assert recover(state_dir, pbx=PBX).lease == _kept()
    assert sorted(path.name for path in state_dir.path.iterdir()) == ["identity", "lease"]


def test_a_lease_that_is_not_there_needs_no_removing(state_dir: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only file system refuses it; an operator would be told of seats that a restart may use."""

    def read_only(path: Path) -> None:
        raise OSError(30, "Read-only file system")

    state_dir.remove_lease()
    monkeypatch.setattr(os, "unlink", read_only)
    state_dir.remove_lease()
    monkeypatch.undo()
    state_dir.save_lease(_kept())
    monkeypatch.setattr(os, "unlink", read_only)
    with pytest.raises(OSError, match="Read-only"):
        state_dir.remove_lease()
