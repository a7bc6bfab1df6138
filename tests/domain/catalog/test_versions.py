"""Software versions are read as PBXs report them, and order as they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.catalog.versions import Version

PARTS = st.builds(Version, st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("12", Version(12)),
        ("V12", Version(12)),
        ("v 12", Version(12)),
        ("12r1", Version(12, 1)),
        ("V12R1", Version(12, 1)),
        ("12r1 sr4", Version(12, 1, 4)),
        ("12r1sr4", Version(12, 1, 4)),
        ("12r1.sr4", Version(12, 1, 4)),
        ("V10 SR12", Version(10, 0, 12)),
        (" 13r2 sr9 ", Version(13, 2, 9)),
    ],
)
def test_read(text: str, version: Version) -> None:
    assert Version.parse(text) == version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("12r1 sr4-hotfix10", Version(12, 1, 4)),
        ("12r1 sr4, hotfix 10", Version(12, 1, 4)),
        ("12r1_sr4_1204567", Version(12, 1, 4)),
        ("13r1 beta 2", Version(13, 1)),
        ("13rc1", Version(13)),
        ("12r1 [12.5416]", Version(12, 1)),
        ("12r1 [12.5416] sr4", Version(12, 1, 4)),
        ("12r1 (124567.02)", Version(12, 1)),
        ("12.00", Version(12)),
        ("12.5416", Version(12)),
        ("Version 12 Release 1", Version(12, 1)),
        ("7.00 hotfix 22", Version(7)),
        ("12r", Version(12)),
        ("12r1 sr", Version(12, 1)),
        ("V12 (Łódź)", Version(12)),
    ],
)
@pytest.mark.rule("B2")
def test_what_stands_behind_is_kept_and_no_rule_reads_it(text: str, version: Version) -> None:
    read = Version.parse(f" {text}\r\n")
    assert (read, read.reported, str(read)) == (version, text, str(version))
    assert Version.parse(read.reported) == version
    with pytest.raises(ValueError, match="is not a software version"):
        Version.exact(text)  # a catalog names what a rule reads


def test_what_is_very_long_is_kept_in_part() -> None:
    read = Version.parse("12r1 " + "b" * 200 + " sr4")
    assert (read, len(read.reported)) == (Version(12, 1, 4), 63)


def test_digits_of_any_script() -> None:
    assert Version.parse("\uff11\uff12r\uff11") == Version.parse("\u0661\u0662r\u0661") == Version(12, 1)


@pytest.mark.parametrize(
    "text", ["", "r1", "twelve", "-12", "1234", "5416.12", "12\n13", "12\0", "\u202e12", "9" * 999]
)
def test_what_is_none_is_refused(text: str) -> None:
    for read in (Version.parse, Version.exact):
        with pytest.raises(ValueError, match="is not a software version; write it like 12, 12r1 or 12r1 sr4"):
            read(text)


@given(PARTS)
def test_printed_and_read_again(version: Version) -> None:
    assert Version.parse(str(version)) == version
    assert Version.parse(f"V{version}".upper()) == version
    assert Version.parse(str(version).replace(" ", "")) == version


@given(PARTS, PARTS)
def test_ordered_by_major_then_release_then_service_release(first: Version, other: Version) -> None:
    assert (first < other) is (
        (first.major, first.release, first.service_release) < (other.major, other.release, other.service_release)
    )
    assert (first.major > other.major) <= (first > other)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        version = Version.parse(text)
    except ValueError:
        return
    assert Version.parse(str(version)) == version
