"""Who may ask how much at once, whose turn it is, and that a place is given back however a question ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from threading import Event
from typing import TypeVar

import pytest

from master.auth.callers.limits import CallerLimitError
from master.service.runtime.questions import QuestionLimits, Questions
from master.store.backends.database import Database, Tx
from master.store.backends.opening import open_database
from master.store.backends.stopping import GivenUpError
from tests.store.rows import add, names
from tests.support.waiting import until

T = TypeVar("T")
_caller: ContextVar[str] = ContextVar("caller", default="")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url)
    await opened.transact(lambda tx: add(tx, "a"))
    yield opened
    await opened.close()


@pytest.fixture
def questions(database: Database) -> Questions:
    return Questions(database, caller=_caller.get, limits=QuestionLimits(caller_max=3, all_max=5))


def _call(caller: str, ask: Callable[[], object]) -> asyncio.Task[object]:
    async def call() -> object:
        _caller.set(caller)
        return await ask()  # type: ignore[misc]

    return asyncio.create_task(call())


class _Held:
    """A plan that goes on until it may end or is given up."""

    def __init__(self) -> None:
        self.may_end, self.began, self.given_up = Event(), Event(), Event()

    def __call__(self, seen: T, go_on: Callable[[], None]) -> T:
        self.began.set()
        try:
            while not self.may_end.wait(0.001):
                go_on()
        except GivenUpError:
            self.given_up.set()
            raise
        return seen


@asynccontextmanager
async def _plans(questions: Questions, *callers: str) -> AsyncIterator[tuple[_Held, list[asyncio.Task[object]]]]:
    """Plans of some callers, of which the first has begun; all have ended at the end."""
    held = _Held()
    calls = [_call(caller, lambda: questions.work_out(names, held)) for caller in callers]
    try:
        await until(held.began.is_set)
        yield held, calls
    finally:
        held.may_end.set()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_one_caller_may_ask_so_much_at_once_and_others_still_may(questions: Questions) -> None:
    async with _plans(questions, "mad", "mad", "mad"):
        for ask in (lambda: questions.read(names), lambda: questions.work_out(names, _Held())):
            with pytest.raises(CallerLimitError, match="3 questions of this caller") as refused:
                await _call("mad", ask)
            assert refused.value.retry_after_seconds > 0
        assert await _call("calm", lambda: questions.read(names)) == ["a"]
    assert await _call("mad", lambda: questions.read(names)) == ["a"]


async def test_all_callers_may_ask_so_much_at_once_and_the_master_itself_always(questions: Questions) -> None:
    async with _plans(questions, "a", "a", "a", "b", "b"):
        with pytest.raises(CallerLimitError, match="all callers"):
            await _call("c", lambda: questions.read(names))
        assert await _call("", lambda: questions.read(names)) == ["a"]
        await _call("c", lambda: questions.transact(lambda tx: add(tx, "b")))
    assert await _call("c", lambda: questions.read(names)) == ["a", "b"]


async def test_each_caller_has_its_turn(questions: Questions) -> None:
    order: list[str] = []

    def noted(name: str) -> Callable[[], object]:
        def compute(seen: T, _: object) -> T:
            order.append(name)
            return seen

        return lambda: questions.work_out(names, compute)

    async with _plans(questions, "mad"):
        calls = [_call("mad", noted("mad")), _call("mad", noted("mad")), _call("calm", noted("calm"))]
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert order.index("calm") < 2, order


async def test_a_callers_own_questions_do_not_wait_for_its_plan(questions: Questions) -> None:
    async with _plans(questions, "one") as (_, calls):
        assert await _call("one", lambda: questions.read(names)) == ["a"]
        assert not calls[0].done()


async def test_what_is_given_up_ends_and_the_next_one_is_worked_out(questions: Questions) -> None:
    async with _plans(questions, "one", "one", "one") as (held, calls):
        for call in reversed(calls):
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert held.given_up.is_set()
        again = _Held()
        again.may_end.set()
        assert await _call("one", lambda: questions.work_out(names, again)) == ["a"]


async def test_a_question_that_fails_gives_its_place_back(questions: Questions) -> None:
    def fail(_: Tx) -> None:
        raise LookupError("no")

    for _ in range(10):
        with pytest.raises(LookupError):
            await _call("one", lambda: questions.read(fail))


async def test_a_call_that_was_let_in_is_not_refused_half_way(questions: Questions) -> None:
    begun, full = asyncio.Event(), asyncio.Event()

    async def export() -> list[list[str]]:
        first = await questions.read(names)
        begun.set()
        await full.wait()
        return [first, await questions.read(names)]

    exporting = _call("one", export)
    await begun.wait()
    async with _plans(questions, "one", "one", "one"):
        full.set()
        assert await exporting == [["a"], ["a"]]


async def test_a_callers_changes_are_made_one_after_the_other_whole(questions: Questions) -> None:
    """Also those that were given up: whoever sends and gives up, again and again, does not fill the database."""
    running = most = 0

    def slow(tx: Tx, name: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            names(tx)
            add(tx, name)
            names(tx)
        finally:
            running -= 1

    calls = [_call("mad", lambda at=at: questions.transact(lambda tx: slow(tx, f"{at:02}"))) for at in range(10)]  # type: ignore[misc]
    await asyncio.sleep(0.005)
    for call in calls[:5]:
        call.cancel()
    await asyncio.wait(calls)
    assert most == 1
    there = await _call("mad", lambda: questions.read(names))
    assert isinstance(there, list)
    assert {f"{at:02}" for at in range(5, 10)} <= set(there)
