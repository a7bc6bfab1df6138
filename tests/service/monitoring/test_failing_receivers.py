"""Webhooks whose receiver fails, is lost or does not answer: told later, or dead-listed, and nobody else waits."""

from __future__ import annotations

import asyncio

import pytest

from licensemaster.v1 import webhook_pb2
from master.domain.monitoring.alarms import ATTEMPTS_MAX
from tests.rpc.failures import NAME
from tests.service.monitoring.webhooks import add_webhook, dead_messages, look_and_send, short_estate
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.network.receiver import Receiver, receiving
from tests.support.waiting import until


async def test_a_receiver_that_fails_gets_it_later_under_the_same_id(any_master: InProcess, receiver: Receiver) -> None:
    await short_estate(any_master)
    await add_webhook(any_master, receiver.url)
    receiver.status = 500
    await look_and_send(any_master)
    await look_and_send(any_master, seconds=5)  # too early
    assert len(receiver.got) == 1
    receiver.status = 204
    await look_and_send(any_master, seconds=6)
    await look_and_send(any_master, seconds=3600)
    first, second = receiver.got
    assert first.body == second.body
    assert first.signature != second.signature


@pytest.mark.parametrize("status", [500, 302])
async def test_what_nobody_takes_is_dead_listed_and_tried_again_on_request(
    any_master: InProcess, receiver: Receiver, status: int
) -> None:
    await short_estate(any_master)
    await add_webhook(any_master, receiver.url)
    receiver.status = status
    for _ in range(ATTEMPTS_MAX + 3):
        await look_and_send(any_master, seconds=3601)
    assert len(receiver.got) == ATTEMPTS_MAX  # and a redirect was not followed
    assert {received.path for received in receiver.got} == {"/hook/t0ken"}
    (dead,) = await dead_messages(any_master)
    assert (dead.webhook, dead.attempts) == (f"{NAME}/webhooks/pager", ATTEMPTS_MAX)
    assert dead.problem == f"the receiver answered {status}"
    assert dead.body == receiver.got[0].body
    [estate] = await any_master.running.status.overviews()
    assert estate.dead_messages == {"pager": 1}
    receiver.status = 200
    request = webhook_pb2.RetryDeadMessagesRequest(project=NAME)
    assert (await any_master.wire.webhooks.RetryDeadMessages(request)).retried == 1
    await look_and_send(any_master)
    assert len(receiver.got) == ATTEMPTS_MAX + 1
    assert await dead_messages(any_master) == []
    [estate] = await any_master.running.status.overviews()
    assert estate.dead_messages == {"pager": 0}


async def test_a_master_that_died_while_telling_does_not_swallow_it(database_url: str, clock: Clock) -> None:
    """Taken from the database, but nobody ever said what became of it: told again."""
    async with receiving() as receiver, in_process_master(database_url, clock) as master:
        await short_estate(master)
        await add_webhook(master, receiver.url)
        delivery = master.running.webhook_delivery
        reconcile, delivery._record = delivery._record, lambda tx, delivery, problem: None  # type: ignore[method-assign]
        await look_and_send(master)
        delivery._record = reconcile  # type: ignore[method-assign]
        await look_and_send(master)
        assert len(receiver.got) == 1
        await look_and_send(master, seconds=120)
        assert len(receiver.got) == 2
        assert receiver.got[0].said["id"] == receiver.got[1].said["id"]


async def test_a_receiver_that_does_not_answer_keeps_nobody_waiting(any_master: InProcess, receiver: Receiver) -> None:
    """Neither what is noticed, nor what others are told; and it is asked one thing at a time."""
    await short_estate(any_master, ttl_seconds=600)
    async with receiving() as stuck:
        stuck.answers = asyncio.Event()
        for number in range(3):
            await add_webhook(any_master, stuck.url, name=f"stuck-{number}")
        await add_webhook(any_master, receiver.url)
        running = any_master.running
        await running.alarms.run_once()
        await receiver.has(1)
        any_master.clock.advance(700)
        await running.alarms.run_once()  # berlin is silent by now; all without waiting for the one that is stuck
        await receiver.has(2)
        await stuck.has(3)
        assert receiver.kinds == [("pool.used_up", "began"), ("site.silent", "began")]
        assert stuck.kinds == [("pool.used_up", "began")] * 3
        stuck.answers.set()
        await running.webhook_delivery.idle()
        assert stuck.kinds == [("pool.used_up", "began")] * 3 + [("site.silent", "began")] * 3


async def test_what_is_due_first_is_told_first(any_master: InProcess, receiver: Receiver) -> None:
    """An old message that failed often does not go before a new one."""
    await short_estate(any_master, ttl_seconds=600)
    await add_webhook(any_master, receiver.url)
    receiver.status = 500
    for seconds in (0, 11, 21, 41, 81, 161):
        await look_and_send(any_master, seconds=seconds)  # the next attempt is due 320 s after the last of these
    await look_and_send(any_master, seconds=305)  # berlin has become silent; due again in 10 s, the other in 15 s
    receiver.status = 200
    await look_and_send(any_master, seconds=20)
    assert receiver.kinds[-2:] == [("site.silent", "began"), ("pool.used_up", "began")]


async def test_a_receiver_that_is_lost_is_tried_by_one_message_at_a_time(master: InProcess) -> None:
    """Whichever webhook's it is; that the others wait costs them no attempt, and when it is back all are told."""
    tried = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        writer.close()

    await short_estate(master)
    lost = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = lost.sockets[0].getsockname()[1]
    async with lost:
        for number in range(6):
            await add_webhook(master, f"http://127.0.0.1:{port}/{number}", name=f"pager-{number}")
        await look_and_send(master)
        assert 1 <= tried <= 6
        for _ in range(8):
            tried = 0
            await look_and_send(master, seconds=700)
            assert tried == 1
    listed = await master.wire.webhooks.ListDeadMessages(webhook_pb2.ListDeadMessagesRequest(project=NAME))
    assert not listed.messages
    async with receiving(port=port) as back:
        for _ in range(3):
            await look_and_send(master, seconds=700)
        assert {received.path for received in back.got} == {f"/{number}" for number in range(6)}


async def test_a_receiver_stays_lost_whatever_else_it_takes_meanwhile(master: InProcess) -> None:
    """It takes one message while another is under way, which it then does not answer."""
    fails, tried = asyncio.Event(), 0
    takes: set[bytes] = {b"/1"}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path in takes:
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        else:
            await fails.wait()
        writer.close()

    await short_estate(master, ttl_seconds=600)
    delivery = master.running.webhook_delivery
    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        for number in range(2):
            port = listening.sockets[0].getsockname()[1]
            await add_webhook(master, f"http://127.0.0.1:{port}/{number}", name=f"pager-{number}")
        await master.running.alarms.run_once()
        await delivery.run_once()
        await until(lambda: tried == 2 and len(delivery._under_way) == 1)
        takes.clear()
        fails.set()
        await delivery.idle()
        tried = 0
        await look_and_send(master, seconds=700)  # berlin has become silent: both are to be told
        assert tried == 1
    sent = {
        result: master.running.metrics.registry.get_sample_value(
            "license_master_webhook_messages_total", {"result": result}
        )
        for result in ("taken", "failed")
    }
    assert sent == {"taken": 1, "failed": 2}  # each attempt counts, and no other
