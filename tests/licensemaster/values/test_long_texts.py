"""However long a text is, and whatever it is made of, reading it takes time in proportion and keeps none of it."""

from __future__ import annotations

import resource
import subprocess
import sys
import unicodedata

import pytest

from licensemaster.values import clean
from master.domain.catalog.versions import Version

_PROGRAM = """
import itertools
from licensemaster import values
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.versions import Version

PARTS = ["\\u0301\\u0323", "\\u0628\\u200c", "\\u200c\\u200d", "\\u2800 ", " ", "\\n", "1 ", "-", ".", "a."]
PARTS += ["r1 sr", "1r1 ", "A", ":"]
READERS = [values.clean, values.plain, values.short_text, values.free_text, values.holder, values.resource]
READERS += [values.license_name, values.mac, values.serial, values.token, values.key_text, values.bare]
READERS += [Version.parse, Version.exact, ReleaseName.parse, ReleaseName.exact]
for begins, part, length, read in itertools.product(["", "a", "1r1"], PARTS, [1_000, 4_000, 400_000], READERS):
    text = begins + part * (length // len(part))
    try:
        read(text)
    except ValueError:
        pass
"""


def test_no_text_takes_time_by_the_square_of_its_length() -> None:
    """Two thousand of them in one process, which a single one by the square would keep for longer than it has."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )
    assert done.returncode == 0, done.stderr[-1000:]


@pytest.mark.parametrize("letter", ["e", "\u0915", "\u0628"])
def test_marks_that_languages_have_are_kept(letter: str) -> None:
    text = " ".join(f"{letter}{chr(0x300 + n)}{chr(0x323)}" for n in range(16))
    assert clean(text) == unicodedata.normalize("NFC", text)
    assert len(clean(letter + "\u0323" * 1000)) <= 31


def test_a_version_is_remembered_without_what_its_caller_sent_behind_it() -> None:
    before = Version._parsed.cache_info().hits
    for number in range(10):
        assert Version.parse("12r1" + " x" * 500 + f" {number}").major == 12
    assert Version._parsed.cache_info().hits - before >= 9
