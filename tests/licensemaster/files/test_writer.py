"""Files are written in one way: whole, on disk, private unless they are public, and never through a link."""

from __future__ import annotations

import ast
import errno
import os
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from licensemaster.files.texts import write_text
from licensemaster.files.writer import Before, Readers, file_written, sync_folder, write_file
from slave_client.storage.state_files import StateFiles

ROOT = Path(__file__).parents[3]
WRITERS = {
    "open", "fdopen", "write_text", "write_bytes", "touch", "mkstemp", "NamedTemporaryFile", "TemporaryFile",
    "SpooledTemporaryFile", "copy", "copy2", "copyfile", "copytree", "chmod", "fchmod", "umask", "mkfifo", "mknod",
    "symlink", "symlink_to", "link", "hardlink_to",
}  # fmt: skip
OTHERWISE = {
    ("licensemaster/files/own_output.py", "open"): "the null device",
    ("licensemaster/daemon/logs/lines.py", "open"): "the null device",
    ("master/store/backends/sqlite.py", "open"): "SQLite writes it; made empty, 0600",
    ("master/store/backends/write_ahead_log.py", "copyfile"): "a copy to be looked at, in a folder that is removed",
    ("master/store/upkeep/backup.py", "open"): "SQLite writes it; made empty, 0600",
    ("master/store/upkeep/backup.py", "chmod"): "a database that takes another's place has its mode",
    ("license_agent/http/unix_socket.py", "umask"): "a socket, no file",
    ("license_agent/http/unix_socket.py", "chmod"): "a socket, no file",
    ("licensemaster/files/folder_lock.py", "open"): "a lock: it stays empty",
    ("licensemaster/files/writer.py", "open"): "the one way",
    ("slave_client/storage/journal.py", "open"): "a line is added before each grant; the state is written the one way",
}
"""Who else may, and why."""
MODULES = {"os", "shutil"}


def _writes() -> Iterator[tuple[str, str]]:
    for package in ("master", "licensemaster", "slave_client", "license_agent", "vendor_tools"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and (called := _called(node)) in WRITERS and not _only_reads(node):
                    yield name, called


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name):
            return name if name != "write_text" else ""  # that of licensemaster.files.texts
        case ast.Attribute(value=ast.Name(id="texts"), attr="write_text"):
            return ""
        case ast.Attribute(attr=name):
            return name
    return ""


def _only_reads(call: ast.Call) -> bool:
    """Whether nothing in a call speaks of writing: `open(x)`, `path.open("rb")`, `os.open(x, os.O_RDONLY)`."""
    said, of = ast.unparse(call), call.func.value if isinstance(call.func, ast.Attribute) else None
    owner = ast.unparse(of) if of is not None else ""
    match _called(call):
        case "open" if owner == "os":
            return "O_RDONLY" in said
        case "open" | "fdopen":
            constants = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
            texts = [constant for constant in constants if isinstance(constant, str)]
            return not any(set(text) <= set("rwxabt+") and set(text) & set("wxa+") for text in texts)
        case "copy" | "link":
            return owner not in MODULES
    return False


def test_nothing_writes_files_in_a_way_of_its_own() -> None:
    collected = set(_writes())
    assert collected - set(OTHERWISE) == set(), "write it with licensemaster/files/writer.py"
    assert set(OTHERWISE) - collected == set(), "no longer needed"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("was", ["nothing", "a file for all", "a link", "a dangling link"])
def test_a_file_is_private_whatever_was_there(tmp_path: Path, was: str) -> None:
    elsewhere, file = tmp_path / "elsewhere", tmp_path / "file"
    if was == "a link":
        elsewhere.write_text("theirs")
    if "link" in was:
        file.symlink_to(elsewhere)
    if was == "a file for all":
        file.write_text("before")
        file.chmod(0o666)
    with file_written(file) as writing:
        (unfinished,) = set(tmp_path.iterdir()) - {elsewhere, file}
        assert _mode(unfinished) == 0o600
        writing.write(b"secret")
    assert (file.read_bytes(), _mode(file), file.is_symlink()) == (b"secret", 0o600, False)
    assert elsewhere.exists() == (was == "a link")
    assert not elsewhere.exists() or elsewhere.read_text() == "theirs"
    write_text(file, "text")
    assert _mode(file) == 0o600
    write_file(file, b"certificate", readers=Readers.ALL)
    assert _mode(file) == 0o644


@pytest.mark.parametrize("there", ["file", "dangling link"])
def test_what_is_to_be_kept_is_kept(tmp_path: Path, there: str) -> None:
    file = tmp_path / "file"
    file.symlink_to(tmp_path / "nowhere") if "link" in there else file.write_text("evidence")
    with pytest.raises(FileExistsError):
        write_file(file, b"other", before=Before.KEPT)
    assert list(tmp_path.iterdir()) == [file]
    assert file.is_symlink() or file.read_text() == "evidence"


@pytest.mark.parametrize("before", Before)
@pytest.mark.parametrize("there", ["pipe", "socket", "link to a device", "own output"])
def test_what_is_no_file_stays(tmp_path: Path, there: str, before: Before) -> None:
    """As root it would be the null device itself that is replaced."""
    path = tmp_path / "out"
    if there == "pipe":
        os.mkfifo(path)
    elif there == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.symlink_to(os.devnull if "device" in there else "/proc/self/fd/1")
    was = path.lstat()
    with pytest.raises(OSError, match="it is a device, a pipe or a socket, and not replaced by a file"):
        write_file(path, b"content", before=before)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (was.st_ino, was.st_mode)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", Before)
def test_a_file_that_did_not_become_whole_is_not_there(tmp_path: Path, before: Before) -> None:
    def interrupted() -> None:
        with file_written(tmp_path / "file", before=before) as writing:
            writing.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_narrow_umask_is_obeyed(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_file(tmp_path / "ca.crt", b"public", readers=Readers.ALL)
    finally:
        os.umask(before)
    assert _mode(tmp_path / "ca.crt") == 0o600


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_is_written_where_folders_are_not_synced(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems; what a disk that fails says is told all the same."""
    sync = os.fsync

    def files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_alone)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)
        return
    write_file(tmp_path / "file", b"whole")
    state = StateFiles(tmp_path)
    state.write("lease", "{}")
    state.remove("lease")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    """Not the one that it would have been at first: its name is another one each time, and each would be news."""
    with pytest.raises(FileNotFoundError) as failed:
        write_file(tmp_path / "absent" / "file", b"")
    assert failed.value.filename == str(tmp_path / "absent" / "file")


def test_a_disk_that_is_full_is_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as failed:
            write_file(tmp_path / "file", b"content " * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.value.filename == str(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
