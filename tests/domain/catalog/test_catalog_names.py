"""License names are read in every spelling and printed as the documents print them (rules B1, E4, I1, I4, L8)."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.catalog.catalog import UnknownLicenseNameError
from tests.domain.catalogs import INNOVAPHONE

PRINTED = {
    "PBX-Port12": ("port", 12, None),
    "PBX-Port 12%500": ("port", 12, 500),
    "PBX-Port 11%1000": ("port", 11, 1000),
    "PBX-Port 11%2000": ("port", 11, 2000),
    "PBX-Port 11%5000": ("port", 11, 5000),
    "PBX-Standby12": ("standby", 12, None),
    "PBX-Standby 12%500": ("standby", 12, 500),
    "PBX-Standby 12%1000": ("standby", 12, 1000),
    "PBX-Standby 12%2000": ("standby", 12, 2000),
    "PBX-Standby 12%5000": ("standby", 12, 5000),
    "PBX-IPVA12": ("ipva", 12, None),
    "PBX-myPBX12": ("mypbx", 12, None),
    "PBX Video12": ("video", 12, None),
    "PBX-AppSharing12": ("app_sharing", 12, None),
    "PBX-Fax12": ("fax", 12, None),
    "PBX-Voicemail12": ("voicemail", 12, None),
    "PBX-Voicemail12%1": ("voicemail", 12, 1),
    "PBX-Voicemail12%250": ("voicemail", 12, 250),
    "PBX-VoicemailUser12": ("voicemail_user", 12, None),
    "PBX-Mobility12": ("mobility", 12, None),
    "PBX UC12": ("uc", 12, None),
    "PBX-WebRTC12": ("webrtc", 12, None),
    "PBX-Reporting12": ("reporting", 12, None),
    "PBX-Recording12": ("recording_basic", 12, None),
    "PBX-Recording12 User": ("recording_user", 12, None),
    "PBX-QueueMonitor12": ("queue_monitor", 12, None),
    "PBX-Operator12": ("operator", 12, None),
    "PBX SoftwarePhones12": ("softwarephone", 12, None),
    "Relay BRIs": ("relay_bri", None, None),
    "Relay PRIs": ("relay_pri", None, None),
    "Relay channels": ("relay_channel", None, None),
}
OTHER_SPELLINGS = {
    "PBX-Standby12%1000": "PBX-Standby 12%1000",
    "PBX-Recording12 Recording14 Basic license": "PBX-Recording12",
    "PBX-Recording12 Recording14 User license": "PBX-Recording12 User",
    "PBX-Recording12 Basic": "PBX-Recording12",
    "Recording14 Basic license": "PBX-Recording14",
    "Recording14 User license": "PBX-Recording14 User",
    "recording14-basic": "PBX-Recording14",
    "PBX-SoftwarePhone12": "PBX SoftwarePhones12",
    "PBX-Application Sharing11": "PBX-AppSharing11",
    "Relay BRI": "Relay BRIs",
    "Relay channel": "Relay channels",
    "G.729 Channel9": "PBX-G729-Channel9",
    "G.729 one-channel license 9": "PBX-G729-Channel9",
}


def read(text: str) -> tuple[str, int | None, int | None]:
    name = INNOVAPHONE.read_name(text)
    return name.type.key, name.version, name.tier


def printed_again(text: str) -> str:
    name = INNOVAPHONE.read_name(text)
    return name.type.printed(version=name.version, tier=name.tier)


@pytest.mark.parametrize(("printed", "meaning"), PRINTED.items())
def test_read_and_printed_back(printed: str, meaning: tuple[str, int | None, int | None]) -> None:
    assert read(printed) == meaning
    assert printed_again(printed) == printed


@pytest.mark.parametrize(("spelling", "printed"), OTHER_SPELLINGS.items())
def test_other_spellings_of_the_documents(spelling: str, printed: str) -> None:
    assert printed_again(spelling) == printed


@given(st.sampled_from(sorted(PRINTED)), st.data())
def test_spaces_hyphens_and_capitals_do_not_matter(printed: str, data: st.DataObject) -> None:
    letters = [each for each in printed if each not in " -"]
    between = st.sampled_from(["", "", "", " ", "-", "  ", " - "])
    drawn = [data.draw(between) + data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in letters]
    text = "".join(drawn) + data.draw(between)
    assert read(text) == PRINTED[printed]
    assert printed_again(text) == printed


@given(
    st.sampled_from([key for key, license_type in INNOVAPHONE.types.items() if license_type.versioned]),
    st.integers(10, 999),
)
def test_every_version_of_every_type(key: str, version: int) -> None:
    license_type = INNOVAPHONE.types[key]
    for tier in (None, *license_type.tiers):
        assert read(license_type.printed(version=version, tier=tier)) == (key, version, tier)


@pytest.mark.parametrize("key", INNOVAPHONE.types)
def test_a_type_is_known_by_its_key_and_by_its_name_without_a_version(key: str) -> None:
    license_type = INNOVAPHONE.types[key]
    bare = re.sub(r"\{version\}", "", license_type.name)
    for text in (key, license_type.display_name, bare.upper(), bare.replace("-", " ")):
        actual = INNOVAPHONE.type_named(text)
        assert actual is license_type
    assert INNOVAPHONE.type_named(license_type.display_name + "x") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PBX-Port", "'PBX-Port' lacks its version; write it like 'PBX-Port12'"),
        ("relay_bri", "'relay_bri' is no printed name; write it like 'Relay BRIs'"),
        ("PBX-Port12%400", "'PBX-Port12%400' has no price tier %400; the tiers are %500, %1000, %2000, %5000"),
        ("PBX-myPBX12%500", "'PBX-myPBX12%500' has no price tier %500; the tiers are none"),
        ("PBX-VoicemailUser9", "'PBX-VoicemailUser9' cannot exist: PBX-VoicemailUser licenses start at version 10"),
        ("PBX-Port0", "'PBX-Port0' cannot exist: PBX-Port licenses start at version 1"),
        ("Relay BRIs12", "'Relay BRIs12' is no license of the catalog 'innovaphone'; it has PBX SoftwarePhones12, "),
        ("PBX-Port1234", "'PBX-Port1234' is no license of the catalog 'innovaphone'; it has "),
        ("PBX-Port-12", None),
        ("PBX-Port12.5", "'PBX-Port12.5' is no license"),
        ("", "'' is no license"),
        ("myPBX for iOS", "'myPBX for iOS' cannot exist: it needs no license of its own"),
    ],
)
def test_what_is_no_name_is_refused_with_the_reason(text: str, reason: str | None) -> None:
    if reason is None:
        assert read(text) == ("port", 12, None)
        return
    with pytest.raises(UnknownLicenseNameError) as refused:
        INNOVAPHONE.read_name(text)
    assert str(refused.value).startswith(reason)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        name = INNOVAPHONE.read_name(text)
    except UnknownLicenseNameError:
        return
    assert name.type.versioned is (name.version is not None)


def test_every_type_of_the_rules_is_there() -> None:
    assert {meaning[0] for meaning in PRINTED.values()} == set(INNOVAPHONE.types) - {
        "g729",
        "gsm_client",
        "mypbx_mobile",
        "recording_target",
    }


def test_what_others_need_ranks_before_them() -> None:
    for key, license_type in INNOVAPHONE.types.items():
        for name in {name for needed in license_type.requires for name in needed.any_of}:
            assert INNOVAPHONE.rank[name] < INNOVAPHONE.rank[key]
        for part in (*license_type.includes, *license_type.includes_per_pbx):
            assert INNOVAPHONE.rank[key] < INNOVAPHONE.rank[part]


def test_rules_that_types_name_are_rules() -> None:
    text = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^- \*\*([A-Z]\d+)\*\*", text, re.MULTILINE))
    for license_type in INNOVAPHONE.types.values():
        assert set(license_type.rules) <= known
        assert license_type.rules, license_type.key


@pytest.mark.parametrize("key", ["relay_bri", "relay_pri", "relay_channel", "ipva"])
def test_what_can_never_be_released(key: str) -> None:
    assert not INNOVAPHONE.types[key].releasable
    assert sum(not license_type.releasable for license_type in INNOVAPHONE.types.values()) == 4


@pytest.mark.rule("L8")
@pytest.mark.parametrize(
    "dash",
    ["-", " ", "\u00a0", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\u00ad", "\u200b", "\uff0d", ""],
)
def test_dashes_from_word_processors_and_full_width_signs(dash: str) -> None:
    license_name = INNOVAPHONE.read_name(f"\ufeffPBX{dash}Port 1\uff12\uff05500\r\n")
    assert (license_name.type.key, license_name.version, license_name.tier) == ("port", 12, 500)
    assert INNOVAPHONE.key_of(f"PBX{dash}Port") == "port"
