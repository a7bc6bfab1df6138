"""Values are read in one form, whatever they were typed, pasted or exported from."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensemaster.values import (
    BadValueError,
    are_holders,
    clean,
    free_text,
    holder,
    key_text,
    license_name,
    mac,
    plain,
    resource,
    serial,
    setting,
    token,
    whole_number,
)

NAME = "Jürgen Müller"


@pytest.mark.parametrize(
    "spelling",
    [
        NAME,
        unicodedata.normalize("NFD", NAME),
        f"{NAME} ",
        f"\ufeff{NAME}\r\n",
        "\u00a0Jürgen \t\u2003 Müller\u200b",
        "Jür\u00adgen Mül\u200dler",
        "\u200eJürgen\u200f Müller",
    ],
)
def test_one_holder_whatever_its_spelling(spelling: str) -> None:
    assert holder(spelling) == NAME


@pytest.mark.parametrize(
    "name",
    [
        "O’Brien",
        "D'Angelo",
        "می\u200cخواهم",
        "क्\u200dष",
        "അവന്\u200d",
        "👨\u200d👩\u200d👧",
        "مرحبا",
        "שלום",
        "a\u030a\u0323",
    ],
)
def test_what_is_legitimate_in_a_language_stays(name: str) -> None:
    assert holder(name) == unicodedata.normalize("NFC", name)


def test_holders_are_told_apart_by_capitals_and_accents() -> None:
    assert len({holder(text) for text in ("anna", "Anna", "Änna", "anna-1", "anna–1")}) == 5


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("", ""),
        ("\u200b \u00a0", ""),
        ("x" * 129, ""),
        ("e\u0301" * 5000, ""),
        ("a\nb", "U+000A"),
        ("a\0b", "U+0000"),
        ("a\x1b[2J", "U+001B"),
        ("\u202eabc", "U+202E turns the direction of writing"),
        ("a\u2066b", "U+2066 turns the direction of writing"),
        ("a\ud800", "U+D800"),
        ("a\U000e0041", "U+E0041"),
    ],
)
def test_a_holder_that_is_none(name: str, seen: str) -> None:
    with pytest.raises(BadValueError, match="must be 1 to 128 printable characters") as refused:
        holder(name)
    assert seen in str(refused.value)


def test_a_free_text_may_be_empty_and_has_one_line() -> None:
    assert free_text(" \u200b") == ""
    assert free_text(" moved   to\u00a0Berlin\n") == "moved to Berlin"
    with pytest.raises(BadValueError, match="in one line"):
        free_text("moved\nto Berlin")


@given(st.text(max_size=12))
def test_normal_forms_are_their_own(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert clean(unicodedata.normalize("NFD", clean(text))) == clean(text)
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("PBX\u00a0UC12", "PBX UC12"),
        ("PBX\u2011Port12", "PBX-Port12"),
        ("PBX\u2013Port12", "PBX-Port12"),
        ("PBX\u2014Port12", "PBX-Port12"),
        ("PBX\u2212Port12", "PBX-Port12"),
        ("PBX\u00ad-Port12\r\n", "PBX-Port12"),
        ("ＰＢＸ－Ｐｏｒｔ１２％５００", "PBX-Port12%500"),
        ("PBX-Port١٢", "PBX-Port12"),
    ],
)
@pytest.mark.rule("L8")
def test_a_license_name_has_one_class_of_dashes(written: str, read: str) -> None:
    assert license_name(written) == read


@pytest.mark.parametrize(
    "written",
    ["00-90-33-aB-cd-0e", "00:90:33:AB:CD:0E", "009033abcd0e", "0090.33ab.cd0e", "009033-abcd0e", "00‑90‑33‑ab‑cd‑0e "],
)
def test_a_mac_address_has_one_form(written: str) -> None:
    assert mac(written) == "00-90-33-ab-cd-0e"
    assert serial(written) == "00-90-33-ab-cd-0e"


@pytest.mark.parametrize("written", ["", "00-90-33-ab-cd", "00-90-33-ab-cd-0g", "00-9033-ab-cd-0e", "x"])
def test_what_is_no_mac_address(written: str) -> None:
    with pytest.raises(BadValueError, match="no MAC address; write its 12 digits like"):
        mac(written)


def test_serials_keys_tokens_and_names_of_programs() -> None:
    assert serial(" ab12–34 \r\n") == "AB12-34"
    assert key_text(" AAAA–BBBB \n CCCC\u200b") == key_text("AAAA-BBBBCCCC")
    assert token("\ufeff abc-_\r\ndef \u200b") == "abc-_def"
    assert resource("projects/x/devices/hq\u2011box \n") == "projects/x/devices/hq-box"
    for bad in ("", " ", "abß"):
        with pytest.raises(BadValueError, match="the token"):
            token(bad)
    with pytest.raises(BadValueError, match="no serial number"):
        serial("Ω1")


def test_a_setting_keeps_what_stands_within() -> None:
    assert setting("\ufeff 'sqlite:////data/my  file.db'\r\n") == "sqlite:////data/my  file.db"
    assert setting('"') == '"'
    assert setting("Stra\u00dfe\u0301") == "Stra\u00dfe\u0301"
    with pytest.raises(BadValueError, match=r"U\+000A within"):
        setting("a\nb")


def test_numbers_are_read_in_the_digits_of_any_script() -> None:
    assert [whole_number(text) for text in (" 12", "１２", "١٢", "0012")] == [12] * 4
    for bad in ("", "-1", "1.5", "½", "²", "12a"):
        with pytest.raises(BadValueError, match="no whole number"):
            whole_number(bad)
    with pytest.raises(BadValueError, match="above 99"):
        whole_number("100", most=99)


@given(st.lists(st.text(max_size=6) | st.sampled_from(["a", "a" * 128, "a" * 129, " a", "a\n"]), max_size=4))
def test_holders_told_in_one_look_are_those_that_each_look_leaves_as_they_are(names: list[str]) -> None:
    if are_holders(names):
        assert [holder(name) for name in names] == names


def test_plain_holders_are_told_in_one_look() -> None:
    assert are_holders(["user-17", "00-90-33-01-02-03", "a" * 128])
    assert not any(are_holders(["user-17", name]) for name in ("", "a" * 129, "a b", "J\u00fcrgen", "a\n"))
