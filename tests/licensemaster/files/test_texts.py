"""Files that people hand in are read whatever they were saved with; what is no text is told as what it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from licensemaster.files.texts import FileError, decoded, read_bytes, read_text, write_text

ROOT = Path(__file__).parents[3]

TEXT = 'name = "Łódź"\nsite = "München"\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_text_of_any_encoding_with_a_mark(tmp_path: Path, encoding: str, ending: str) -> None:
    mark = "\ufeff" if encoding.endswith("-be") else ""
    file = tmp_path / "a.toml"
    file.write_bytes((mark + TEXT.replace("\n", ending)).encode(encoding))
    assert read_text(file, most=1000) == TEXT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.replace("Łódź", "x").encode("latin-1"), "a:2: not UTF-8 text (byte 0xfc) in column 10: 'ü' in Latin-1"),
        (b"a\rb\r\xff", "a:3: not UTF-8 text (byte 0xff) in column 1"),
        ("ab\n".encode("utf-16-le"), "a:1: has a NUL character (UTF-16 without a byte order mark?)"),
        (b"\xff\xfea", "begins with the byte order mark of UTF-16"),
        (b"PK\x03\x04", "a: this is a ZIP archive, or a Word or Excel file"),
        (b"%PDF-1.7", "a: this is a PDF"),
    ],
)
def test_what_is_no_text(content: bytes, said: str) -> None:
    with pytest.raises(FileError, match="UTF-8") as refused:
        decoded(content, source="a")
    assert said in str(refused.value)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "large").write_bytes(b"x" * 11)
    for name, said in (
        ("missing", "No such file"),
        (".", "Is a directory"),
        ("pipe", "a pipe, and nobody writes into it"),
        ("large", "larger than 10 bytes"),
        ("a\0b", "no file can be called that"),
    ):
        with pytest.raises(FileError, match=said):
            read_bytes(tmp_path / name, most=10)


def test_a_pipe_that_somebody_writes_into_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR)  # as a shell holds it open for `<(...)`
    os.write(reader, b"name")
    threading.Timer(0.05, os.close, [reader]).start()
    assert read_text(tmp_path / "pipe", most=10) == "name"


def test_a_dash_is_what_is_handed_in_on_standard_input() -> None:
    reads = "from pathlib import Path; from licensemaster.files.texts import read_text; print(read_text(Path('-')))"
    done = subprocess.run([sys.executable, "-c", reads], input=b"\xef\xbb\xbfa\r\nb", capture_output=True, check=True)
    assert done.stdout == b"a\nb\n"


def test_what_is_written_is_utf8_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    write_text(tmp_path / "a", TEXT)
    assert (tmp_path / "a").read_bytes() == TEXT.encode()
    with pytest.raises(FileError, match="cannot write"):
        write_text(tmp_path / "none" / "a", TEXT)
    assert os.listdir(tmp_path) == ["a"]


OTHERWISE = {
    "master/auth/authority/authority.py": "files of a folder that it made",
    "licensemaster/signing/device_key.py": "files of a folder that it made",
    "slave_client/storage/state_files.py": "files of a folder that it made",
    "slave_client/storage/journal.py": "files of a folder that it made",
    "master/store/backends/sqlite_file.py": "what SQLite made, and what the kernel tells",
    "master/store/backends/write_ahead_log.py": "what SQLite made",
    "licensemaster/files/folder_lock.py": "what the kernel tells",
    "licensemaster/daemon/logs/captured_stderr.py": "a pipe of this process",
    **dict.fromkeys(
        (
            "master/catalogs.py",
            "master/cli/server/docs.py",
            "master/cli/operator/projects/allocation.py",
            "master/cli/operator/projects/project.py",
            "master/rpc/server/reflection.py",
        ),
        "files that are installed with it",
    ),
}
"""Who reads files in another way, and why."""


def test_nothing_reads_what_is_handed_in_in_a_way_of_its_own() -> None:
    """It would wait for a pipe that nobody writes into, or read whatever there is of a device."""
    found = set()
    for package in ("master", "licensemaster", "slave_client", "license_agent", "vendor_tools"):
        for path in (ROOT / package).rglob("*.py"):
            source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
            if re.search(r"\.read_bytes\(\)|\.read_text\((encoding|\))|open\(([^()]*, )?\"rb?\"", source):
                found.add(name)
    assert found - {"licensemaster/files/texts.py"} == set(OTHERWISE)
