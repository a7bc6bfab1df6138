"""Software versions are read as PBXs report them, and order as they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.versions import Version

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


@pytest.mark.parametrize("text", ["", "r1", "twelve", "12.1", "12r", "-12", "1234", "12r1 sr", "12 beta", "12\n13"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a software version; write it like 12, 12r1 or 12r1 sr4"):
        Version.parse(text)


@given(PARTS)
def test_printed_and_read_again(version: Version) -> None:
    assert Version.parse(str(version)) == version
    assert Version.parse(f"V{version}".upper()) == version
    assert Version.parse(str(version).replace(" ", "")) == version


@given(PARTS, PARTS)
def test_ordered_by_major_then_release_then_service_release(one: Version, other: Version) -> None:
    assert (one < other) is (tuple(one) < tuple(other))
    assert (one.major > other.major) <= (one > other)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        version = Version.parse(text)
    except ValueError:
        return
    assert Version.parse(str(version)) == version
