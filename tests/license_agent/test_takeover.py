"""What an agent says of a takeover: whose seats are carried, and that they are not where it is refused; whose seats are
asked for meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from slave_client import HolderKind, SlaveClient, State, Want
from tests.license_agent.conftest import agent_settings, running_agent
from tests.slave_client.conftest import RestartableMaster, client_config
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT
from tests.support.projects.estates import project

BERLIN, SPARE = (f"projects/{PROJECT}/pbxs/{name}" for name in ("berlin", "spare"))
PAIR = project(
    {"PBX-Port12": 3, "PBX-Standby12": 3},
    pbxs={"berlin": "slave 12 gateway", "spare": "standby:berlin 12 gateway"},
)


async def test_the_log_tells_a_refusal_from_a_takeover(master: RestartableMaster, tmp_path: Path) -> None:
    await master.apply(PAIR)
    async with (
        SlaveClient(client_config(master.address)) as berlin,
        running_agent(agent_settings(master.address, tmp_path, pbx=SPARE, give_up_after_seconds=1)) as spare,
    ):
        await berlin.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        with capture_logs() as lines:
            refused = await spare.ask("PUT", "/v1/takeover", json={"primary": BERLIN, "reason": "a test"})
        assert (refused.status, refused.body["problems"][0]["kind"]) == (409, "primary_active")
        assert _told(lines) == {"a PBX is not carried"}
        with capture_logs() as lines:
            done = await spare.ask("PUT", "/v1/takeover", json={"primary": f" {BERLIN} ", "force": True})
        assert (done.status, done.body["primary"]) == (200, BERLIN)
        assert _told(lines) == {"a PBX is carried"}
        again = await spare.ask("PUT", "/v1/takeover", json={"primary": f"{BERLIN}\n"})
        assert (again.status, again.body["primary"]) == (200, BERLIN), "however it is spelt"


@pytest.mark.rule("E3", "F5")
async def test_a_whole_set_is_counted_once_while_another_pbx_is_carried(
    master: RestartableMaster, tmp_path: Path
) -> None:
    await master.apply(PAIR)

    def wanted(*holders: str) -> dict[str, object]:
        seat = {"license_type": "port", "holder_kind": "user"}
        return {"seats": [{**seat, "holder": holder} for holder in holders]}

    berlin = SlaveClient(client_config(master.address))
    await berlin.start()
    settings = agent_settings(master.address, tmp_path, pbx=SPARE, give_up_after_seconds=1)
    async with running_agent(settings) as spare:
        await berlin.sync([Want("port", HolderKind.USER, holder) for holder in ("anna", "bert")])
        await berlin.crash()
        assert await spare.register("own") == [200]
        done = await spare.ask("PUT", "/v1/takeover", json={"primary": BERLIN, "force": True})
        assert done.status == 200
        first = await spare.ask("PUT", "/v1/seats", json=wanted("own", "anna"))
        assert [outcome["granted"] for outcome in first.body["outcomes"]] == [True, True]
        assert await master.holders("berlin") == {"anna", "bert"}, "who did not come yet is left alone"
        assert await master.holders("spare") == {"own"}
        for holder, may in (("own", True), ("anna", True), ("bert", False)):
            asked = await spare.ask("GET", f"/v1/calls/allowed?kind=new&holder={holder}")
            assert asked.body == {"allowed": may}, holder
        assert "\nlicense_agent_seats_held 2.0\n" in (await spare.ask("GET", "/metrics")).body
        second = await spare.ask("PUT", "/v1/seats", json=wanted("bert"))
        assert (second.body["seats_returned"], second.body["outcomes"][0]["already_held"]) == (2, True)
        assert (await master.holders("berlin"), await master.holders("spare")) == ({"bert"}, set())
        twice = await spare.ask("PUT", "/v1/seats", json=wanted("bert", "bert"))
        assert twice.status == 422


def _told(lines: Sequence[Mapping[str, object]]) -> set[object]:
    """What the log says of Berlin's being carried."""
    return {line["event"] for line in lines if line.get("primary") == BERLIN}
