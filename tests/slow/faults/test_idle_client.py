"""A client that has nothing to ask keeps its connection."""

from __future__ import annotations

from slave_client import HolderKind, SlaveClient, State, Want
from tests.slave_client.conftest import HeldClock, client_config
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess
from tests.support.network.frames import Frame, frames_to
from tests.support.projects.estates import project

_PINGS = 40
"""More than a minute of an idle client's life; a server that does not bear them throws it off at the third."""


async def test_an_idle_client_is_never_thrown_off(master: InProcess, clock: Clock) -> None:
    """Nothing goes over the line but the question whether anybody is there: every 0.6 s instead of every 2 s."""
    await master.wire.apply(project({"PBX-Port12": 1}))
    states: list[State] = []
    async with frames_to(master.wire.address) as frames:
        config = client_config(frames.address, channel_options=(("grpc.keepalive_time_ms", 600),))
        client = SlaveClient(config, on_state=lambda _, new, __: states.append(new), clock=HeldClock(clock))
        async with client:
            await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            await frames.until(frames.from_client, Frame.PING, _PINGS)
            assert (await client.acquire(Want("port", HolderKind.USER, "anna"))).granted
            assert states == [State.CONNECTED]
            assert (frames.connections, frames.from_server[Frame.GOAWAY]) == (1, 0)
