"""What is still to be written when a client stops is written; nothing is written afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from licensemaster.signing.verified_lease import ClockReading, verify
from slave_client import Granted, HolderKind, Want
from slave_client.connection.clocks import SystemClock
from slave_client.storage.kept_lease import KeptLease
from slave_client.storage.state_dir import StateDir
from slave_client.storage.state_writer import OldStateStaysError, StateWriter
from slave_client.values.seats import Held
from tests.slave_client.signing import PBX, Signer

SIGNER = Signer()


class Kept:
    """A state directory with its writer; `lease` is what is to be kept now."""

    def __init__(self, folder: Path) -> None:
        self.lease: KeptLease | None = KeptLease(
            verified=verify(SIGNER.sign(), pbx=PBX, public_key=SIGNER.public_key),
            remaining_seconds=300.0,
            saved=ClockReading(wall=1_000_100.0, steady=100.0, boot="first"),
            held=(),
            idle=(),
        )
        self.state_dir = StateDir(folder)
        self.problems: list[OSError | None] = []
        self.writer = StateWriter(
            snapshot=lambda: self.lease,
            problem=self.problems.append,
            every_seconds=3600.0,
            clock=SystemClock(),
        )
        self.writer.begin(self.state_dir)

    def on_disk(self) -> KeptLease | None:
        return self.state_dir.load_lease(pbx=PBX, trusted_keys=(SIGNER.public_key,))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


async def test_a_write_asked_for_before_the_stop_and_begun_after_it_changes_nothing(kept: Kept) -> None:
    await kept.writer.save_now()
    late = asyncio.create_task(kept.writer.save_now())
    await asyncio.sleep(0)  # it is asked for, and begins with the next turn
    await kept.writer.stop()  # takes no turn
    kept.lease = None
    await late
    assert kept.on_disk() is not None


async def test_what_waits_to_be_written_is_written_by_the_stop(kept: Kept) -> None:
    await kept.writer.save_now()
    assert kept.lease is not None
    kept.lease = replace(kept.lease, remaining_seconds=200.0)
    kept.writer.changed()
    await kept.writer.stop()
    written = kept.on_disk()
    assert written is not None
    assert written.remaining_seconds == 200.0


async def test_a_lease_that_is_over_is_off_the_disk_after_a_stop(kept: Kept) -> None:
    await kept.writer.save_now()
    kept.lease = None
    kept.writer.changed_for_good()
    await kept.writer.stop()
    assert kept.on_disk() is None


async def test_a_write_that_begins_with_the_stop_is_finished(kept: Kept) -> None:
    """A fenced client's: a restart that found the lease would use seats that another installation has."""
    await kept.writer.save_now()
    kept.lease = None
    kept.writer.changed_for_good()
    for _ in range(2):  # its task begins; its pause is over, and the write is asked for
        await asyncio.sleep(0)
    await kept.writer.stop()
    assert kept.on_disk() is None


async def test_seats_noted_while_a_lease_is_removed_are_read_with_the_next_one(kept: Kept) -> None:
    seat = Held.of(Granted.by_number(Want("port", HolderKind.USER, "anna")))
    journal = kept.state_dir.journal.begin()
    assert kept.writer.note([seat])
    kept.state_dir.remove_lease(journal=journal)  # on a thread: the journal is the event loop's
    assert kept.lease is not None
    kept.state_dir.save_lease(kept.lease, journal=journal)
    written = kept.on_disk()
    assert written is not None
    assert written.held == (seat,)


async def test_whether_a_restart_goes_by_what_was_written_before(kept: Kept, tmp_path: Path) -> None:
    await kept.writer.save_now()
    (tmp_path / "lease").unlink()
    (tmp_path / "lease").mkdir()  # it can be neither replaced nor removed, as on a disk that can be read only
    await kept.writer.save_now()
    (tmp_path / "lease").rmdir()
    await kept.writer.save_now()
    assert [type(problem) for problem in kept.problems] == [type(None), OldStateStaysError, type(None)]


async def test_where_there_is_no_folder_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Kept(tmp_path / "file" / "state")
    await kept.writer.save_now()
    assert [isinstance(problem, OSError) for problem in kept.problems] == [True]
    assert not isinstance(kept.problems[0], OldStateStaysError)
