"""A lease that is over is relied on no more, in whichever state its end comes."""

from __future__ import annotations

import pytest

from licensemaster.signing.verified_lease import verify
from slave_client.connection.client_state import ClientState
from slave_client.values.states import Event, State
from tests.slave_client.conftest import HeldClock
from tests.slave_client.signing import PBX, Signer
from tests.support.masters import Clock


@pytest.mark.parametrize("event", [Event.END_REACHED, Event.LEASE_ENDED])
@pytest.mark.parametrize("before", [State.STARTING, State.CONNECTED, State.OFFLINE, State.EXPIRED])
def test_a_lease_that_is_over_is_dropped(before: State, event: Event) -> None:
    """In EXPIRED it is one that was opened anew, and whose seats are not reconciled yet."""
    time, signer = HeldClock(Clock()), Signer()
    state = ClientState(time, lambda *_: None, lambda _: None)
    for happened in _WAYS[before]:
        state.happened(happened, "so that it is in the state")
    assert state.state is before
    verified = verify(signer.sign(), pbx=PBX, public_key=signer.public_key, trusted_keys=())
    state.hold(verified, end=time.now() + 60)
    state.epoch = verified.epoch
    if event is Event.END_REACHED:
        time.advance(61)  # who asks for the state notices
    else:
        state.happened(event, "the master says so")
    assert state.state is State.EXPIRED
    assert [state.verified, state.epoch, state.is_over] == [None, None, False]


_WAYS = {
    State.STARTING: (),
    State.CONNECTED: (Event.OPENED,),
    State.OFFLINE: (Event.OPENED, Event.MASTER_LOST),
    State.EXPIRED: (Event.OPENED, Event.LEASE_ENDED),
}
