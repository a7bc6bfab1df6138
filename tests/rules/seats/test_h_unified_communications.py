"""Section H: licenses of configured users, and UC that includes most of them."""

import pytest

from tests.rules.asking import (
    CHANNEL,
    DEBITED,
    EXECUTIVE,
    INCLUDED,
    LOGIN,
    NOT_NEEDED,
    TRUNK,
    Action,
    Reason,
    ask,
    give_back,
    grant,
    grant_all,
    held,
    holdings,
    keep,
    licenses,
    numbers,
    promised,
    refuse,
    used,
    with_more,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project

PARTS = {
    "mypbx": "PBX-myPBX12",
    "video": "PBX Video12",
    "voicemail_user": "PBX-VoicemailUser12",
    "mobility": "PBX-Mobility12",
    "fax": "PBX-Fax12",
    "app_sharing": "PBX-AppSharing12",
}
ALL = {**dict.fromkeys(PARTS.values(), 2), "PBX UC12": 1}
NEEDS_MYPBX = ("video", "app_sharing")


@pytest.mark.rule("H1")
@pytest.mark.parametrize(("license_type", "printed"), [*PARTS.items(), ("uc", "PBX UC12")])
async def test_one_for_each_configured_user(master: InProcess, license_type: str, printed: str) -> None:
    estate = project({"PBX-myPBX12": 3, printed: 1})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    others = [] if license_type in ("mypbx", "uc") else [seat("mypbx", "alice"), seat("mypbx", "bob", kind=EXECUTIVE)]
    if others:
        await grant_all(hq, *others)
    alice, bob = seat(license_type, "alice"), seat(license_type, "bob", kind=EXECUTIVE)
    granted_seat = await grant(hq, alice)
    assert (granted_seat.basis, granted_seat.reassignable) == (DEBITED, False)  # fixed
    refusal = await refuse(hq, bob)
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert refusal.rules[1] == "H1"
    assert numbers(refusal) == (1, 1, 1)
    assert (await refuse(hq, seat(license_type, "0", kind=TRUNK))).reason == Reason.REFUSAL_REASON_HOLDER_KIND

    await give_back(hq, alice)
    await grant(hq, bob)
    await master.wire.apply(with_more(estate, refusal, printed))
    await grant(hq, alice)


@pytest.mark.rule("H2", "H3")
async def test_uc_includes_its_parts(master: InProcess) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    await grant(hq, seat("uc", "alice"))
    for granted_seat in await grant_all(hq, *(seat(part, "alice") for part in PARTS)):
        assert (granted_seat.basis, granted_seat.included_in, granted_seat.device) == (INCLUDED, "uc", "")
    assert await promised(hq) == {"uc": 1}
    assert {holding.included_in for holding in await holdings(master.wire) if holding.basis == INCLUDED} == {"uc"}
    again = await grant(hq, seat("video", "alice"))
    assert (again.already_held, again.basis, again.included_in) == (True, INCLUDED, "uc")

    bob = await grant_all(hq, *(seat(part, "bob") for part in PARTS))  # not split: bob has none of it
    assert {grant.basis for grant in bob} == {DEBITED}
    assert await promised(hq) == {"uc": 1, **dict.fromkeys(PARTS, 1)}
    refusal = await refuse(hq, seat("uc", "bob"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "H1", "H2"]


@pytest.mark.rule("H2")
async def test_uc_of_one_pbx_does_not_serve_the_same_name_on_another(master: InProcess) -> None:
    await master.wire.apply(project({"PBX UC12": 1, "PBX-Port12": 1}))
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    await grant_all(hq, seat("uc", "alice"), seat("mypbx", "alice"))
    assert (await refuse(berlin, seat("mypbx", "alice"))).reason == Reason.REFUSAL_REASON_NONE_INSTALLED


@pytest.mark.rule("H2", "H3")
async def test_uc_credits_the_parts_that_its_user_had(master: InProcess) -> None:
    estate = project(ALL)
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    await grant_all(hq, *(seat(part, "alice") for part in PARTS))
    await grant_all(hq, *(seat(part, "bob") for part in PARTS))
    refusals = refused(await ask(hq, *seats("mypbx", 2, "guest")))
    assert numbers(refusals[0]) == (2, 2, 2)
    assert (await grant(hq, seat("uc", "alice"))).basis == DEBITED
    assert await promised(hq) == {"uc": 1, **dict.fromkeys(PARTS, 1)}
    await grant(hq, seat("mypbx", "guest-0"))  # alice's seat of myPBX is free
    assert (await refuse(hq, seat("mypbx", "guest-1"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED


@pytest.mark.rule("H2")
async def test_returning_uc_debits_the_parts_that_stay(master: InProcess) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, seat("uc", "alice"), seat("mypbx", "alice"), seat("video", "alice"))
    await give_back(hq, seat("uc", "alice"))
    assert await promised(hq) == {"mypbx": 1, "video": 1}
    assert await held(master.wire, hq) == {("mypbx", "alice"), ("video", "alice")}


@pytest.mark.rule("H2", "H5")
async def test_uc_stays_while_its_parts_find_no_license(master: InProcess) -> None:
    estate = project({"PBX UC12": 1, "PBX-myPBX12": 1, "PBX-Fax12": 1})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    await grant_all(hq, seat("uc", "alice"), seat("fax", "alice"), seat("mypbx", "alice"))
    await grant(hq, seat("mypbx", "bob"))
    refusal = await keep(hq, seat("uc", "alice"))
    assert [(seat.license_type, seat.holder) for seat in refusal.seats] == [("mypbx", "alice")]  # fax finds a license
    assert refusal.message.endswith("; all 1 PBX-myPBX licenses on hq-box are in use")
    assert await promised(hq) == {"uc": 1, "mypbx": 1}
    await give_back(hq, seat("mypbx", "alice"))  # the remedy
    await give_back(hq, seat("uc", "alice"))
    assert await promised(hq) == {"mypbx": 1, "fax": 1}


@pytest.mark.rule("H2", "H3")
async def test_parts_stay_included_in_another_uc_of_the_same_user(master: InProcess) -> None:
    await master.wire.apply(project({"PBX UC12": 2}))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, seat("uc", "alice"), seat("uc", "alice", kind=EXECUTIVE), seat("mypbx", "alice"))
    await give_back(hq, seat("uc", "alice"))
    assert await promised(hq) == {"uc": 1}
    assert (await grant(hq, seat("mypbx", "alice"))).basis == INCLUDED
    refusal = await keep(hq, seat("uc", "alice", kind=EXECUTIVE))
    assert refusal.message.endswith("; no PBX-myPBX license is installed on hq-box")


@pytest.mark.rule("H2")
async def test_uc_and_its_parts_go_in_one_call(master: InProcess) -> None:
    await master.wire.apply(project({"PBX UC12": 1}))
    hq = await opened(master.wire, "hq")
    everything = [seat("uc", "alice"), *(seat(part, "alice") for part in PARTS)]
    await grant_all(hq, *reversed(everything))
    await give_back(hq, *everything)
    assert await held(master.wire, hq) == set()


@pytest.mark.rule("H4")
@pytest.mark.parametrize("license_type", NEEDS_MYPBX)
@pytest.mark.parametrize("needed", ["mypbx", "uc"])
async def test_video_and_sharing_need_mypbx_or_uc(master: InProcess, license_type: str, needed: str) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    await grant(hq, seat(needed, "bob"))  # another user's does not help
    refusal = await refuse(hq, seat(license_type, "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert list(refusal.rules) == ["H1", "H4"]
    assert refusal.message.endswith("needs PBX-myPBX or PBX UC for user alice")
    assert refusal.remedy.action == Action.REMEDY_ACTION_ACQUIRE_FIRST
    assert refusal.remedy.license_type == "mypbx"
    await give_back(hq, seat(needed, "bob"))
    await grant(hq, seat(needed, "alice"))
    await grant(hq, seat(license_type, "alice"))


@pytest.mark.rule("H4")
async def test_the_order_within_a_call_does_not_matter(master: InProcess) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    taken = await grant_all(hq, seat("video", "alice"), seat("app_sharing", "alice"), seat("mypbx", "alice"))
    assert [grant.basis for grant in taken] == [DEBITED] * 3
    results = await ask(hq, seat("video", "carol"), seat("video", "bob"), seat("uc", "bob"))
    assert granted([results[1]])[0].basis == INCLUDED
    assert refused([results[0]])[0].reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    await give_back(hq, seat("mypbx", "alice"), seat("app_sharing", "alice"), seat("video", "alice"))


@pytest.mark.rule("H5")
async def test_mypbx_stays_under_video_and_sharing(master: InProcess) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, *(seat(part, "alice") for part in ("mypbx", "video", "app_sharing", "fax")))
    refusal = await keep(hq, seat("mypbx", "alice"))
    assert refusal.rules[0] == "H5"
    assert refusal.message == ("PBX-myPBX is still required by video of user alice, app_sharing of user alice")
    assert [(seat.license_type, seat.holder) for seat in refusal.seats] == [
        ("video", "alice"),
        ("app_sharing", "alice"),
    ]
    assert refusal.remedy.action == Action.REMEDY_ACTION_RETURN_FIRST
    assert refusal.remedy.text == "return video of user alice, app_sharing of user alice first"
    await give_back(hq, *refusal.seats)  # the remedy, as it is told
    await give_back(hq, seat("mypbx", "alice"))
    assert await held(master.wire, hq) == {("fax", "alice")}


@pytest.mark.rule("H5")
async def test_mypbx_may_go_where_uc_takes_its_place(master: InProcess) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, seat("mypbx", "alice"), seat("video", "alice"))
    await keep(hq, seat("mypbx", "alice"))
    await grant(hq, seat("uc", "alice"))
    await give_back(hq, seat("mypbx", "alice"))
    refusal = await keep(hq, seat("uc", "alice"))
    assert [(seat.license_type, seat.holder) for seat in refusal.seats] == [("video", "alice")]
    await give_back(hq, seat("video", "alice"))
    await give_back(hq, seat("uc", "alice"))


@pytest.mark.rule("H6")
@pytest.mark.parametrize("needed", ["mypbx", "uc"])
@pytest.mark.parametrize("spelling", ["mypbx_mobile", "myPBX for Android", "myPBX for iOS"])
async def test_mypbx_on_a_telephone(master: InProcess, needed: str, spelling: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 1, **ALL}))
    hq = await opened(master.wire, "hq")
    app = seat(spelling, "alice")
    no_port = await refuse(hq, app)
    assert no_port.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert list(no_port.rules) == ["H6"]
    assert no_port.remedy.license_type == "port"
    await grant(hq, seat("port", "alice"))
    no_mypbx = await refuse(hq, app)
    assert no_mypbx.remedy.license_type == "mypbx"
    await grant(hq, seat(needed, "alice"))
    assert (await grant(hq, app)).basis == NOT_NEEDED  # and nothing more
    assert await held(master.wire, hq) == {("port", "alice"), (needed, "alice")}
    await give_back(hq, seat("port", "alice"), seat(needed, "alice"))
    await refuse(hq, app)


@pytest.mark.rule("H7")
@pytest.mark.parametrize(("license_type", "printed"), [*PARTS.items(), ("uc", "PBX UC12")])
async def test_held_against_the_software(master: InProcess, license_type: str, printed: str) -> None:
    older = printed.replace("12", "11")
    await master.wire.apply(project({older: 1, "PBX UC13": 1}))
    hq = await opened(master.wire, "hq", "12")
    refusal = await refuse(hq, seat(license_type, "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert licenses(refusal.licenses) == [(older, 1, "hq-box")]
    await hq.open("11")
    await grant(hq, seat("uc", "alice"))
    await grant(hq, seat(license_type, "alice"))


@pytest.mark.rule("H1", "H5")
async def test_sync_settles_the_whole_wanted_set(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 3, **ALL}))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, *seats("port", 3), *(seat(part, "alice") for part in ("mypbx", "video", "fax")))

    # A swap within a full pool: phone-0 and phone-1 go, alice and bob come, phone-2 stays.
    wanted = [seat("port", "alice"), seat("port", "bob"), seat("port", "phone-2"), seat("video", "alice")]
    synced = await hq.sync(*wanted)
    assert [grant.already_held for grant in granted(synced.results)] == [False, False, True, True]
    assert synced.seats_returned == 3  # two ports and fax
    kept = synced.kept[0]  # not wanted, but video needs it
    assert (kept.seat.license_type, kept.seat.holder) == ("mypbx", "alice")
    assert kept.refused.reason == Reason.REFUSAL_REASON_STILL_REQUIRED
    assert [(seat.license_type, seat.holder) for seat in kept.refused.seats] == [("video", "alice")]
    assert await promised(hq) == {"port": 3, "mypbx": 1, "video": 1}

    again = await hq.sync(*wanted)
    assert all(grant.already_held for grant in granted(again.results))
    assert (again.seats_returned, len(again.kept)) == (0, 1)

    short = await hq.sync(*seats("port", 5))
    granted(short.results[:3])
    for refusal in refused(short.results[3:]):
        assert numbers(refusal) == (3, 3, 4)  # phone-2 is not new
        assert refusal.remedy.quantity == 2
    assert short.seats_returned == 4  # alice, bob, and now myPBX with video (phone-2 was held)
    assert not short.kept

    nothing = await hq.sync()
    assert nothing.seats_returned == 3
    assert await held(master.wire, hq) == set()
    assert await promised(hq) == {}


@pytest.mark.rule("H2", "H3")
async def test_sync_moves_a_user_to_uc_within_full_pools(master: InProcess) -> None:
    await master.wire.apply(project({"PBX UC12": 1, "PBX-myPBX12": 1, "PBX Video12": 1}))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, seat("mypbx", "alice"), seat("video", "alice"))
    synced = await hq.sync(seat("uc", "alice"), seat("video", "alice"), seat("mypbx", "alice"))
    assert [grant.basis for grant in granted(synced.results)] == [DEBITED, INCLUDED, INCLUDED]
    assert await promised(hq) == {"uc": 1}
    await grant_all(hq, seat("mypbx", "bob"), seat("video", "bob"))


@pytest.mark.rule("H2", "H5")
async def test_sync_moves_a_user_from_uc_to_parts_in_one_step(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX UC12": 1, "PBX-myPBX12": 1, "PBX Video12": 1}))
    hq = await opened(any_master.wire, "hq")
    await grant_all(hq, seat("uc", "alice"), seat("video", "alice"))
    synced = await hq.sync(seat("mypbx", "alice"), seat("video", "alice"))
    assert [(grant.basis, grant.already_held) for grant in granted(synced.results)] == [
        (DEBITED, False),
        (DEBITED, True),
    ]
    assert (synced.seats_returned, len(synced.kept)) == (1, 0)
    assert await promised(hq) == {"mypbx": 1, "video": 1}

    await grant_all(hq, seat("uc", "bob"), seat("video", "bob"))  # for whom no part is left
    synced = await hq.sync(*(seat(part, user) for part in ("mypbx", "video") for user in ("alice", "bob")))
    assert [grant.basis for grant in granted(synced.results)] == [DEBITED, INCLUDED, DEBITED, INCLUDED]
    assert (synced.seats_returned, [kept_seat.seat.license_type for kept_seat in synced.kept]) == (0, ["uc"])
    assert synced.kept[0].refused.message.endswith("licenses on hq-box are in use")
    assert await promised(hq) == {"mypbx": 1, "video": 1, "uc": 1}


@pytest.mark.rule("H1")
async def test_a_user_seat_is_not_held_by_channels_or_logins(master: InProcess) -> None:
    await master.wire.apply(project(ALL))
    hq = await opened(master.wire, "hq")
    for kind in (CHANNEL, LOGIN):
        refusal = await refuse(hq, seat("mypbx", "desk-1", kind=kind, user="alice"))
        assert refusal.reason == Reason.REFUSAL_REASON_HOLDER_KIND
    assert await used(master.wire, "mypbx") == (0, 2)
    await grant(hq, seat("mypbx", "alice"))
