"""Remedies that were once untrue, each carried whole: what is told is what it takes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from licensemaster.api_enums import HolderKind, RemedyAction
from master.domain.estate.learning import Learning
from master.domain.estate.license_release import InUse, Release
from master.domain.remedies.remedies import Effort
from master.domain.remedies.remedy_words import step_in_words
from master.domain.seats.refusals.reasons import Refusal, RefusalReason, Step
from master.domain.seats.seats import Granted, SeatKey, Want
from master.store.backends.stopping import GivenUpError
from master.values import replace
from tests.domain.catalogs import INNOVAPHONE
from tests.domain.remedies.remedying import Site, want, ways

CHANNEL, LOGIN, USER = HolderKind.CHANNEL, HolderKind.LOGIN, HolderKind.USER
PBXS = {"hq": "master 12 ipva", "berlin": "slave 12 gateway", "cloud": "slave 12 ipva"}
DRAIN = Release(
    in_use=InUse.DRAIN, to_device="", requested_by="operator", requested_at=0.0, reason="", nonce=b"",
    certified=False, device_dead=False, approved_by="",
)  # fmt: skip


def site(licenses: dict[str, int | tuple[int, str]], software: str = "12") -> Site:
    return Site(licenses, {name: said.replace(" 12 ", f" {software} ") for name, said in PBXS.items()})


def ports(number: int) -> list[Want]:
    return [want("port", f"user-{at}") for at in range(number)]


@pytest.mark.rule("L5")
def test_what_is_being_released_counts_as_gone() -> None:
    at = site({"PBX-Port12": 30})
    at.acquire("berlin", *(want("port", f"user-{number}") for number in range(23)))
    at.leave("license-1", DRAIN)
    refusal = at.refuse("berlin", want("port", "one-more"))
    assert ways(refusal) == ["bind 24 more PBX-Port licenses of V12 or newer to hq-box"]  # waiting would not help


@pytest.mark.rule("H1", "L5")
def test_nobody_is_told_to_wait_for_the_seat_that_the_request_needs() -> None:
    at = site({"PBX-Port12": (8, "hq-box"), "PBX-myPBX12": (1, "berlin-box")})
    at.acquire("berlin", want("mypbx", "bert"))
    refusal = at.refuse("berlin", want("video", "bert"))
    assert ways(refusal) == ["bind 1 more PBX Video license of V12 or newer to berlin-box"]


@pytest.mark.rule("B5", "B6")
def test_all_licenses_that_are_too_old_are_named() -> None:
    refusal = site({"PBX-Port10": 1, "PBX-Fax11": 2, "PBX-Mobility13": 1}).refuse(
        "berlin", want("port", "alice"), software="13"
    )
    assert [ref.printed for ref in refusal.licenses] == ["PBX-Port10", "PBX-Fax11"]
    assert ways(refusal)[0] == "replace 1 x PBX-Port10 (license-1), 2 x PBX-Fax11 (license-2) by V13 licenses"


@pytest.mark.rule("B5")
def test_a_long_list_says_how_many_are_left_out() -> None:
    refusal = site({f"PBX-Port{' ' * number}9": 1 for number in range(33)}).refuse("berlin", want("port", "alice"))
    assert len(refusal.licenses) == 33
    assert ways(refusal)[0].endswith(" and 13 more by V12 licenses")
    assert refusal.remedy is not None
    assert len(refusal.remedy.ways[0].steps[0].licenses) == 33


@pytest.mark.rule("H4", "J2", "K8")
def test_chains_come_whole() -> None:
    none = site({"PBX-Fax12": 1})
    assert ways(none.refuse("berlin", want("webrtc", "call", CHANNEL, user="alice"))) == [
        "bind 1 more PBX-Port license of V12 or newer to hq-box, bind 1 more PBX-myPBX license of V12 or newer to"
        " hq-box, bind 1 more PBX-WebRTC license of V12 or newer to hq-box and acquire PBX-Port for user alice,"
        " PBX-myPBX for user alice first"
    ]
    assert ways(none.refuse("berlin", want("video", "alice"))) == [
        "bind 1 more PBX UC license of V12 or newer to hq-box and acquire PBX UC for user alice first",
        "bind 1 more PBX-myPBX license of V12 or newer to hq-box, bind 1 more PBX Video license of V12 or newer to"
        " hq-box and acquire PBX-myPBX for user alice first",
    ]
    assert ways(none.refuse("berlin", want("softwarephone", "alice")))[0] == (
        "bind 1 more PBX-myPBX license of V12 or newer to hq-box, bind 1 more PBX SoftwarePhones license of V12 or"
        " newer to hq-box and acquire PBX-myPBX for user alice first"
    )


@pytest.mark.rule("I2", "I3", "I4")
def test_newer_software_comes_with_the_licenses_that_allow_it() -> None:
    refusal = site({"PBX-Port9": 1, "PBX-Voicemail9": 1}, "9").refuse("berlin", want("voicemail_user", "alice"))
    assert refusal.reason is RefusalReason.SOFTWARE_TOO_OLD
    assert ways(refusal) == [
        "release 1 x PBX-Voicemail9 (license-2) from hq-box, replace 1 x PBX-Port9 (license-1) by V10 licenses,"
        " bind 1 more PBX-VoicemailUser license of V10 or newer to hq-box and upgrade berlin to 10 or newer"
    ]


@pytest.mark.rule("B2", "B3")
@pytest.mark.parametrize(
    ("licenses", "software", "version"),
    [({}, "13", "13"), ({"PBX-Fax14": 1}, "12", "14"), ({"PBX-Fax12": 1}, "11", "12")],
)
def test_what_is_to_be_bound_fits(licenses: dict[str, int | tuple[int, str]], software: str, version: str) -> None:
    refusal = site(licenses).refuse("berlin", want("port", "alice"), software=software)
    assert ways(refusal) == [f"bind 1 more PBX-Port license of V{version} or newer to hq-box"]


@pytest.mark.rule("D1", "D2")
def test_a_companion_and_its_main_type_are_told_together() -> None:
    at = site({"PBX-Port12": 1, "PBX-IPVA12": 1})
    assert isinstance(at.acquire("cloud", want("port", "alice"))[0], Granted)
    refusal = at.refuse("cloud", want("port", "bob"), want("port", "carol"))
    assert ways(refusal)[0] == "bind 2 more PBX-Port licenses of V12 or newer to hq-box" \
        " and bind 2 more PBX-IPVA licenses of V12 or newer to hq-box"  # fmt: skip
    short = site({"PBX-Port12": 1, "PBX-IPVA12": 1})
    short.acquire("hq", want("port", "alice"))
    short.give_back("hq", SeatKey("port", USER, "alice"))
    short.acquire("berlin", want("port", "alice"))
    assert "IPVA" not in ways(short.refuse("cloud", want("port", "bob")))[0]


@pytest.mark.rule("G1")
def test_nobody_is_told_to_buy_g729() -> None:
    call = want("g729", "call", CHANNEL)
    assert ways(site({"PBX-Port12": 1}).refuse("berlin", call)) == ["upgrade berlin to 12r2 or newer"]
    assert ways(site({"PBX-Port10": 1}, "10").refuse("berlin", call)) == [
        "replace 1 x PBX-Port10 (license-1) by V12 licenses and upgrade berlin to 12r2 or newer"
    ]


@pytest.mark.rule("H2", "H5")
def test_returning_uc_names_the_part_that_is_short() -> None:
    at = site({"PBX UC12": 1, "PBX Video12": 1, "PBX-Fax12": 1})
    at.acquire("berlin", want("uc", "a"), want("mypbx", "a"), want("fax", "a"))
    (refusal,) = at.give_back("berlin", SeatKey("uc", USER, "a"))
    assert not isinstance(refusal, tuple)
    assert [seat.type for seat in refusal.seats] == ["mypbx"]
    assert ways(refusal) == [
        "return mypbx of user a first",
        "bind 1 more PBX-myPBX license of V12 or newer to hq-box",
    ]
    at.acquire("berlin", want("video", "a"))  # leans on what would go
    (refusal,) = at.give_back("berlin", SeatKey("uc", USER, "a"))
    assert not isinstance(refusal, tuple)
    assert ways(refusal)[0] == "return mypbx of user a, video of user a first"


@pytest.mark.rule("B8")
def test_an_application_is_named_and_licensed_in_one() -> None:
    assert ways(site({}).refuse("berlin", want("operator", "desk", LOGIN))) == [
        "bind 1 more PBX-Operator license of V12 or newer to hq-box and name the application's version, at most V12"
    ]


@pytest.mark.rule("K3")
def test_what_the_request_leaves_out_is_told_before_licenses_are_bought() -> None:
    refusal = site({}).refuse("berlin", want("recording_user", "alice"))
    assert refusal.remedy is not None
    assert refusal.remedy.text == "name the outside line in the request"


@pytest.mark.rule("L5")
def test_what_was_taken_away_is_returned_and_bought_anew() -> None:
    at = site({"PBX-Port12": 1})
    at.acquire("berlin", want("port", "alice"))
    at.working_set.seats[at.estate.pbx_ids["berlin"]].revoked.add(SeatKey("port", USER, "alice"))
    at.leave("license-1", DRAIN)
    assert ways(at.refuse("berlin", want("port", "alice"))) == [
        "bind 1 more PBX-Port license of V12 or newer to hq-box and return port of user alice first"
    ]


@pytest.mark.parametrize("action", RemedyAction)
def test_every_step_has_words(action: RemedyAction) -> None:
    step = Step(action=action, license_type="port", quantity=1, device="box", pbx="berlin", version="12")
    assert step_in_words(step, INNOVAPHONE)


def test_where_nothing_helps_it_says_so() -> None:
    at = site({"PBX-Voicemail7": 1}, "7")  # nothing is released from such firmware
    refusal = at.refuse("berlin", want("voicemail_user", "alice"), software="10")
    assert refusal.remedy is not None
    assert (refusal.remedy.main.action, refusal.remedy.ways) == (RemedyAction.NONE, ())


def test_after_learning_licenses_may_be_short_as_well() -> None:
    at = site({"PBX-Port12": 1})
    at.acquire("berlin", want("port", "alice"))
    at.estate = replace(at.estate, learning=Learning(0.0, 1_000.0, "restored"))
    refusal = at.refuse("berlin", want("port", "bob"), now=1.0)
    assert refusal.reason is RefusalReason.LEARNING
    assert refusal.remedy is not None
    assert [step.action for step in refusal.remedy.ways[0].steps] == [RemedyAction.WAIT, RemedyAction.ADD_LICENSES]


# --- What finding them may take -------------------------------------------------------------------------------------


def _actions(outcomes: Sequence[object]) -> set[RemedyAction]:
    return {
        outcome.remedy.main.action
        for outcome in outcomes
        if isinstance(outcome, Refusal) and outcome.remedy is not None
    }


def test_ten_thousand_seats_are_explained_with_an_effort_that_is_bounded() -> None:
    at = site({"PBX-Port12": 20, "PBX-myPBX12": 20, "PBX-Video12": 20_000})
    wants = [want("video", f"user-{number}", user=f"user-{number}") for number in range(10_000)]
    effort = Effort.of_an_explanation()
    outcomes = at.acquire("hq", *wants, effort=effort)
    assert effort.left > -Effort.of_an_explanation().left  # the trial that was under way when it ran out
    assert _actions(outcomes) == {RemedyAction.ACQUIRE_FIRST}


def test_in_a_large_project_a_refusal_is_answered_by_fewer_trials() -> None:
    small, large = Effort.of_a_batch(), Effort.of_a_batch()
    for effort, licenses in ((small, 1), (large, 4_000)):
        at = site({f"PBX-Port{' ' * number}12": 1 for number in range(licenses)})
        outcomes = at.acquire("berlin", *ports(licenses + 1), effort=effort)
        assert _actions(outcomes) == {RemedyAction.ADD_LICENSES}
    assert large.left < small.left


@pytest.mark.parametrize("platform", ["gateway", "ipva"])
def test_those_refused_alike_have_one_search(platform: str) -> None:
    at = Site({"PBX-Port12": 1, "PBX-IPVA12": 1}, {"hq": f"master 12 {platform}"})
    at.acquire("hq", want("port", "200"))
    efforts = [Effort.of_an_explanation() for _ in range(2)]
    answers = [at.acquire("hq", want("port", "201"), effort=effort) for effort in efforts]
    assert answers[0] == answers[1]
    assert _actions(answers[0]) == {RemedyAction.ADD_LICENSES}
    assert efforts[0].left < Effort.of_an_explanation().left
    assert efforts[1].left == Effort.of_an_explanation().left


def test_what_is_remembered_of_a_refusal_turns_on_the_licenses_beside_it() -> None:
    at = site({"PBX-Port12": 1, "PBX-IPVA12": 1})
    at.acquire("berlin", want("port", "alice"))
    assert "IPVA" not in ways(at.refuse("cloud", want("port", "bob")))[0]
    at.working_set.pools[at.estate.pool_on("hq-box", "ipva")].used = 1
    assert "IPVA" in ways(at.refuse("cloud", want("port", "bob")))[0]


def test_who_gives_up_ends_the_search_with_the_next_trial() -> None:
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise GivenUpError

    at = site({"PBX-Port10": 20, "PBX-myPBX12": 20})
    with pytest.raises(GivenUpError):
        at.acquire("hq", *ports(30), effort=Effort.of_an_explanation(check))
    assert asked == 2
