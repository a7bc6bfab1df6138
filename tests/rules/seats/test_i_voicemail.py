"""Section I: voicemail in two models that exclude each other."""

import grpc
import pytest

from tests.rpc.failures import failure
from tests.rules.asking import (
    DEBITED,
    INCLUDED,
    NOT_NEEDED,
    PBX,
    Action,
    Reason,
    grant,
    grant_all,
    held,
    licenses,
    refuse,
    status,
    used,
    with_more,
    without,
)
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import opened, seat, seats
from tests.support.projects.estates import project

OLD = {"PBX-Port12": 300, "PBX-Voicemail12": 1, "PBX-Voicemail12%1": 249, "PBX-Voicemail12%250": 50}
VOICEMAIL = seat("voicemail", "hq", kind=PBX)


@pytest.mark.rule("I1")
async def test_the_old_model_is_on_while_there_are_as_many_as_ports(master: InProcess) -> None:
    await master.wire.apply(project(OLD))
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    for pbx in (hq, berlin):
        assert (await grant(pbx, VOICEMAIL)).basis == NOT_NEEDED  # however often it is used
    assert await held(master.wire, hq) == set()
    assert await used(master.wire, "voicemail") == (0, 300)  # the price steps add up
    assert await feature_on(master.wire, "voicemail")


@pytest.mark.rule("I1", "I5")
async def test_with_too_few_it_is_off_and_says_what_is_missing(any_master: InProcess) -> None:
    estate = project({**OLD, "PBX Port12": 20})
    applied = await any_master.wire.apply(estate)
    assert applied.warnings == ["PBX-Voicemail is off on hq-box: 300 installed for 320 PBX-Port (I1, I5)"]
    hq, berlin = await opened(any_master.wire, "hq"), await opened(any_master.wire, "berlin")
    for pbx in (hq, berlin):
        refusal = await refuse(pbx, VOICEMAIL)
        assert refusal.reason == Reason.REFUSAL_REASON_FEATURE_OFF
        assert list(refusal.rules) == ["I1", "I5"]
        assert refusal.message == "PBX-Voicemail is off on hq-box: 300 installed for 320 PBX-Port, 20 missing"
        assert (refusal.capacity, refusal.wanted) == (300, 320)
        assert (refusal.remedy.quantity, refusal.remedy.device) == (20, "hq-box")
    assert not await feature_on(any_master.wire, "voicemail")
    await grant_all(hq, *seats("port", 301))  # telephones do not depend on it
    await any_master.wire.apply(with_more(estate, refusal, "PBX-Voicemail12%250"))
    await grant(berlin, VOICEMAIL)
    assert await feature_on(any_master.wire, "voicemail")


@pytest.mark.rule("I5")
async def test_with_none_it_is_off(master: InProcess) -> None:
    estate = project({"PBX-Port12": 2})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    refusal = await refuse(hq, VOICEMAIL)
    assert refusal.reason == Reason.REFUSAL_REASON_FEATURE_OFF
    assert refusal.remedy.quantity == 2
    await master.wire.apply(with_more(estate, refusal, "PBX-Voicemail12"))
    await grant(hq, VOICEMAIL)


@pytest.mark.rule("A3", "I5")
async def test_a_local_pbx_hears_that_the_pools_voicemail_is_not_for_it(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": (2, "berlin-box"), "PBX-Voicemail12": 9}))
    berlin = await opened(master.wire, "berlin")
    refusal = await refuse(berlin, VOICEMAIL)
    assert refusal.reason == Reason.REFUSAL_REASON_FEATURE_OFF
    assert list(refusal.rules) == ["I1", "I5", "A3"]
    assert [(license.type, license.device) for license in refusal.licenses] == [("PBX-Port12", "berlin-box")]
    assert "the pool is closed to it" in refusal.message


@pytest.mark.rule("I1", "I5")
async def test_each_installation_counts_for_itself(master: InProcess) -> None:
    await master.wire.apply(
        project({"PBX-Port12": 5, "PBX-Port11": (2, "berlin-box"), "PBX-Voicemail11": (2, "berlin-box")})
    )
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin", "11")
    await grant(berlin, VOICEMAIL)
    assert (await refuse(hq, VOICEMAIL)).reason == Reason.REFUSAL_REASON_FEATURE_OFF


@pytest.mark.rule("I2")
async def test_the_new_model_counts_users(master: InProcess) -> None:
    estate = project({"PBX-Port12": 300, "PBX-VoicemailUser12": 1, "PBX UC12": 1})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    granted_seat = await grant(hq, seat("voicemail_user", "alice"))
    assert (granted_seat.basis, granted_seat.reassignable) == (DEBITED, False)
    refusal = await refuse(hq, seat("voicemail_user", "bob"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "H1", "I2"]
    await grant(hq, seat("uc", "carol"))
    assert (await grant(hq, seat("voicemail_user", "carol"))).basis == INCLUDED
    await master.wire.apply(with_more(estate, refusal, "PBX-VoicemailUser12"))
    await grant(hq, seat("voicemail_user", "bob"))


@pytest.mark.rule("I3")
@pytest.mark.parametrize("installed", ["old", "new"])
async def test_the_other_model_is_refused(master: InProcess, installed: str) -> None:
    old = installed == "old"
    printed = "PBX-Voicemail12" if old else "PBX-VoicemailUser12"
    wish = seat("voicemail_user", "alice") if old else VOICEMAIL
    estate = project({"PBX-Port12": 2, printed: 2, "PBX UC12": 1})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    refusal = await refuse(hq, wish)
    assert refusal.reason == Reason.REFUSAL_REASON_MODEL_EXCLUDED
    assert list(refusal.rules) == ["I3"]
    assert licenses(refusal.licenses) == [(printed, 2, "hq-box")]
    assert refusal.remedy.action == Action.REMEDY_ACTION_RELEASE_LICENSES
    assert refusal.remedy.device == "hq-box"

    changed = without(estate, printed)
    other = "PBX-VoicemailUser12" if old else "PBX-Voicemail12"
    changed.licenses.add(id="other-model", type=other, quantity=2, device="hq-box")
    await master.wire.apply(changed)
    await grant(hq, wish)


@pytest.mark.rule("I3")
@pytest.mark.parametrize("order", [1, -1])
async def test_a_project_cannot_have_both_in_one_installation(master: InProcess, order: int) -> None:
    both = ["PBX-Voicemail12", "PBX-VoicemailUser12"][::order]
    failed = await failure(master.wire.apply(project({"PBX-Port12": 5, both[0]: 5, both[1]: 5})))
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.message == (
        f"{both[1]} cannot be combined with {both[0].removesuffix('12')} on hq-box; use one model (rule I3)"
    )
    assert (await failure(status(master.wire))).code is grpc.StatusCode.NOT_FOUND  # nothing was stored
    await master.wire.apply(project({"PBX-Port12": 5, both[0]: 5, both[1]: (5, "berlin-box")}))  # two installations
    await master.wire.apply(project({"PBX-Port12": 5, both[0]: 5, both[1]: (5, "")}))  # one is not in use


@pytest.mark.rule("I4")
async def test_voicemail_user_needs_software_from_v10_on(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-VoicemailUser12": 1, "PBX-Port12": 1}))
    hq = await opened(master.wire, "hq", "9")
    refusal = await refuse(hq, seat("voicemail_user", "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_SOFTWARE_TOO_OLD
    assert list(refusal.rules) == ["I4"]
    assert refusal.message == "PBX-VoicemailUser needs PBX software 10 or newer; hq runs 9"
    assert refusal.remedy.action == Action.REMEDY_ACTION_UPGRADE_SOFTWARE
    await hq.open(refusal.remedy.version)
    await grant(hq, seat("voicemail_user", "alice"))


@pytest.mark.rule("I4")
async def test_voicemail_user_licenses_begin_at_v10(master: InProcess) -> None:
    assert (await failure(master.wire.apply(project({"PBX-VoicemailUser9": 1})))).message == (
        "'PBX-VoicemailUser9' cannot exist: PBX-VoicemailUser licenses start at version 10"
    )
    await master.wire.apply(project({"PBX-VoicemailUser10": 1}))
    await master.wire.apply(project({"PBX-Voicemail9": 1}))  # the old model did exist


@pytest.mark.rule("F2")
async def test_standby_is_a_switch_of_the_same_kind(master: InProcess) -> None:
    estate = project({"PBX-Port12": 3, "PBX-Standby12": 2})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    refusal = await refuse(hq, seat("standby", "hq", kind=PBX))
    assert refusal.reason == Reason.REFUSAL_REASON_FEATURE_OFF
    assert list(refusal.rules) == ["F2"]
    assert (refusal.capacity, refusal.wanted, refusal.remedy.quantity) == (2, 3, 1)
    await master.wire.apply(with_more(estate, refusal, "PBX-Standby12"))
    assert (await grant(hq, seat("standby", "hq", kind=PBX))).basis == NOT_NEEDED


async def feature_on(wire: Wire, license_type: str) -> bool:
    """What the status says of a switch."""
    return next(pool.feature_on for pool in (await status(wire)).pools if pool.license_type == license_type)
