"""How fairly the scenarios end, in figures."""

from __future__ import annotations

from tests.slow.fairness import scenarios
from tests.slow.fairness.world import evenness, play


async def test_a_reserve_is_there_from_the_first_minute(sqlite_database_url: str) -> None:
    history = await play(scenarios.STARVED_SMALL_SITE, sqlite_database_url)
    assert history.satisfaction("kiosk") == 1.0
    assert history.had["north"][-1] + history.had["south"][-1] == 95, "what is not reserved is all in use"


async def test_who_comes_back_in_time_has_its_seats_again(sqlite_database_url: str) -> None:
    history = await play(scenarios.FLAPPING_SITE, sqlite_database_url)
    assert [history.had["branch"][minute] for minute in (9, 17, 29, 37, 59)] == [30] * 5
    assert max(history.had["greedy"]) == 30


async def test_a_storm_takes_nothing_that_others_grow_into(sqlite_database_url: str) -> None:
    history = await play(scenarios.SITE_STORM, sqlite_database_url)
    assert all(history.satisfaction(name) == 1.0 for name in ("north", "south", "west"))
    assert history.had["stadium"][-1] == 45


async def test_who_wants_everything_has_no_more_than_its_share_in_the_end(sqlite_database_url: str) -> None:
    history = await play(scenarios.GREEDY_SITE, sqlite_database_url)
    assert evenness([had[-1] for had in history.had.values()]) == 1.0
    assert all(history.had[name][10] == 20 for name in history.had), "within ten minutes, as phones leave by themselves"
    assert all(history.moves(name, slice(10, None)) == 0 for name in history.had), "no seat wanders back and forth"


async def test_a_weight_of_two_is_two_of_three(sqlite_database_url: str) -> None:
    history = await play(scenarios.CALL_CENTRE, sqlite_database_url)
    assert (history.had["callcentre"][-1], history.had["office"][-1]) == (60, 30)
    assert history.had["callcentre"][10] == 30, "what is free is there at once; the rest comes as phones leave"
    assert history.moves("office", slice(20, None)) == 0


async def test_of_a_pool_that_shrinks_the_lobby_gives_up_first_and_rescue_nothing(sqlite_database_url: str) -> None:
    history = await play(scenarios.SHRINKING_POOL, sqlite_database_url)
    assert all(history.satisfaction(name, slice(15)) == 1.0 for name in history.had)
    assert history.satisfaction("rescue") == 1.0
    assert {name: had[15] for name, had in history.had.items()} == {"rescue": 20, "office": 35, "lobby": 0}
    assert all(history.moves(name, slice(15, None)) == 0 for name in history.had), "each seat is taken away once"
