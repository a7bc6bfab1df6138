"""The table of states is complete, and says what it must."""

from __future__ import annotations

import itertools

import pytest

from slave_client.values.states import TRANSITIONS, Event, State, next_state


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_state_answers_every_event(state: State, event: Event) -> None:
    assert isinstance(next_state(state, event), State)


def test_few_events_are_heeded_in_some_states_only() -> None:
    """Every other one is heeded in all but the final states: a new event is decided on for each state."""
    assert set(TRANSITIONS) == set(State)
    heeded = {event: {state for state in State if event in TRANSITIONS[state]} for event in Event}
    not_final = {state for state in State if not state.is_final}
    assert {event: states for event, states in heeded.items() if states != not_final} == {
        Event.RESUMED: {State.STARTING},
        Event.MASTER_LOST: {State.CONNECTED},
        Event.LEASE_UNKNOWN: {State.CONNECTED},
    }


@pytest.mark.parametrize("state", [State.FENCED, State.CLOSED, State.STOPPED])
@pytest.mark.parametrize("event", Event)
def test_final_states_are_left_by_nothing(state: State, event: Event) -> None:
    assert state.is_final
    assert next_state(state, event) is state


@pytest.mark.parametrize("state", [state for state in State if not state.is_final])
def test_being_fenced_is_final_from_anywhere(state: State) -> None:
    assert next_state(state, Event.FENCED) is State.FENCED


def test_every_state_can_be_reached() -> None:
    reached = {State.STARTING}
    while more := {next_state(state, event) for state in reached for event in Event} - reached:
        reached |= more
    assert reached == set(State)


def test_a_lost_master_only_matters_to_a_connected_client() -> None:
    changed = {state for state in State if next_state(state, Event.MASTER_LOST) is not state}
    assert changed == {State.CONNECTED}
