"""Webhooks end to end: a real master, a real receiver; what is wrong is told once, signed, and until it is taken."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import grpc
import pytest
import structlog

from licensemaster.v1 import status_pb2, webhook_pb2
from master.domain.monitoring.alarms import ATTEMPTS_MAX, CALM_SECONDS
from master.domain.monitoring.overview import FIRST_CONTACT_SECONDS
from tests.auth.pki import Pki
from tests.rpc.failures import NAME, failure
from tests.support.masters import Clock, InProcess, in_process_master, two_masters
from tests.support.network.receiver import Receiver, receiving
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.waiting import until

PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def _add(
    master: InProcess, url: str, *kinds: str, name: str = "pager", request_id: str = ""
) -> webhook_pb2.AddWebhookResponse:
    request = webhook_pb2.AddWebhookRequest(
        name=f"{NAME}/webhooks/{name}", url=url, kinds=kinds, request_id=request_id or str(uuid4())
    )
    return await master.wire.webhooks.AddWebhook(request)


async def _look(master: InProcess, *, seconds: float = 0) -> None:
    master.clock.advance(seconds)
    await master.running.alarms.run_once()
    await master.running.webhook_delivery.run_once()
    await master.running.webhook_delivery.idle()


async def _short(master: InProcess, *, ttl_seconds: int = 86_400) -> BarePbx:
    """Berlin has all ports."""
    await master.wire.apply(project({"PBX-Port12": 2}, pbxs=PBXS, ttl_seconds=ttl_seconds))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 2)))
    return berlin


async def _dead(master: InProcess) -> list[webhook_pb2.DeadMessage]:
    request = webhook_pb2.ListDeadMessagesRequest(project=NAME)
    return list((await master.wire.webhooks.ListDeadMessages(request)).messages)


async def test_what_begins_is_told_once_signed_and_told_when_it_ends(any_master: InProcess, receiver: Receiver) -> None:
    berlin = await _short(any_master)
    secret = (await _add(any_master, receiver.url)).secret
    for _ in range(3):
        await _look(any_master, seconds=1)
    (got,) = receiver.got
    assert got.path == "/hook/t0ken"
    assert (got.said["project"], got.said["kind"], got.said["subject"], got.said["state"]) == (
        "acme",
        "pool.used_up",
        "hq-box/port",
        "began",
    )
    assert got.said["message"] == "PBX-Port on hq-box: all 2 licenses are in use, the next is refused"
    sent_at, _, mac = got.signature.removeprefix("t=").partition(",v1=")
    assert abs(int(sent_at) - any_master.clock.now) < 5
    assert mac == hmac.new(secret.encode(), f"{sent_at}.{got.body}".encode(), hashlib.sha256).hexdigest()

    await berlin.give_back(*seats("port", 1))
    await _look(any_master)
    granted(await berlin.acquire(*seats("port", 1)))
    await _look(any_master, seconds=CALM_SECONDS + 1)
    await berlin.give_back(*seats("port", 1))
    await _look(any_master)
    await _look(any_master, seconds=CALM_SECONDS - 1)
    assert receiver.kinds == [("pool.used_up", "began")]  # it came back, and has not been calm for long
    await _look(any_master, seconds=2)
    assert receiver.kinds == [("pool.used_up", "began"), ("pool.used_up", "ended")]
    assert receiver.got[1].said["begin_time"] == receiver.got[0].said["begin_time"]
    assert receiver.got[1].said["id"] != receiver.got[0].said["id"]
    assert await _dead(any_master) == []


async def test_only_the_kinds_that_were_asked_for(any_master: InProcess, receiver: Receiver) -> None:
    await _short(any_master, ttl_seconds=60)
    await _add(any_master, receiver.url, "site.silent")
    await _look(any_master)
    assert receiver.got == []
    await _look(any_master, seconds=120)
    assert receiver.kinds == [("site.silent", "began")]
    assert receiver.got[0].said["subject"] == "site-berlin"


async def test_a_receiver_that_fails_gets_it_later_under_the_same_id(any_master: InProcess, receiver: Receiver) -> None:
    await _short(any_master)
    await _add(any_master, receiver.url)
    receiver.status = 500
    await _look(any_master)
    await _look(any_master, seconds=5)  # too early
    assert len(receiver.got) == 1
    receiver.status = 204
    await _look(any_master, seconds=6)
    await _look(any_master, seconds=3600)
    first, second = receiver.got
    assert first.body == second.body
    assert first.signature != second.signature


@pytest.mark.parametrize("status", [500, 302])
async def test_what_nobody_takes_is_dead_listed_and_tried_again_on_request(
    any_master: InProcess, receiver: Receiver, status: int
) -> None:
    await _short(any_master)
    await _add(any_master, receiver.url)
    receiver.status = status
    for _ in range(ATTEMPTS_MAX + 3):
        await _look(any_master, seconds=3601)
    assert len(receiver.got) == ATTEMPTS_MAX  # and a redirect was not followed
    assert {received.path for received in receiver.got} == {"/hook/t0ken"}
    (dead,) = await _dead(any_master)
    assert (dead.webhook, dead.attempts) == (f"{NAME}/webhooks/pager", ATTEMPTS_MAX)
    assert dead.problem == f"the receiver answered {status}"
    assert dead.body == receiver.got[0].body
    [estate] = await any_master.running.status.overviews()
    assert estate.dead_messages == {"pager": 1}
    receiver.status = 200
    request = webhook_pb2.RetryDeadMessagesRequest(project=NAME)
    assert (await any_master.wire.webhooks.RetryDeadMessages(request)).retried == 1
    await _look(any_master)
    assert len(receiver.got) == ATTEMPTS_MAX + 1
    assert await _dead(any_master) == []
    [estate] = await any_master.running.status.overviews()
    assert estate.dead_messages == {"pager": 0}


async def test_two_masters_tell_once(postgresql_database_url: str, clock: Clock, receiver: Receiver) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, two):
        await _short(first)
        await _add(first, receiver.url)
        for _ in range(3):
            await _look(two)
            await _look(first)
        assert receiver.kinds == [("pool.used_up", "began")]


async def test_a_master_that_died_while_telling_does_not_swallow_it(database_url: str, clock: Clock) -> None:
    """Taken from the database, but nobody ever said what became of it: told again."""
    async with receiving() as receiver, in_process_master(database_url, clock) as master:
        await _short(master)
        await _add(master, receiver.url)
        delivery = master.running.webhook_delivery
        reconcile, delivery._record = delivery._record, lambda tx, delivery, problem: None  # type: ignore[method-assign]
        await _look(master)
        delivery._record = reconcile  # type: ignore[method-assign]
        await _look(master)
        assert len(receiver.got) == 1
        await _look(master, seconds=120)
        assert len(receiver.got) == 2
        assert receiver.got[0].said["id"] == receiver.got[1].said["id"]


async def test_a_test_message(any_master: InProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # for browsing; it leads to no receiver
    await _short(any_master)
    await _add(any_master, receiver.url)
    request = webhook_pb2.TestWebhookRequest(name=f"{NAME}/webhooks/pager")
    assert (await any_master.wire.webhooks.TestWebhook(request)).taken
    assert receiver.kinds == [("webhook.test", "test")]
    receiver.status = 403
    answer = await any_master.wire.webhooks.TestWebhook(request)
    assert (answer.taken, answer.problem) == (False, "the receiver answered 403")


async def test_secrets_are_told_once_and_get_into_no_log_list_event_or_error(
    master: InProcess, receiver: Receiver
) -> None:
    await _short(master)
    with structlog.testing.capture_logs() as logs:
        added = await _add(master, receiver.url)
        closed = receiver.url.replace(str(receiver.port), "1")
        other = await _add(master, closed, name="closed")
        await _look(master)
        request = webhook_pb2.TestWebhookRequest(name=f"{NAME}/webhooks/closed")
        problem = (await master.wire.webhooks.TestWebhook(request)).problem
        listed = await master.wire.webhooks.ListWebhooks(webhook_pb2.ListWebhooksRequest(project=NAME))
        events = await master.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_size=100))
    assert problem == "the receiver could not be reached: ClientConnectorError"
    assert [webhook.target for webhook in listed.webhooks] == [
        "http://127.0.0.1:1",
        f"http://127.0.0.1:{receiver.port}",
    ]
    assert "webhook.added" in {event.kind for event in events.events}
    assert any(log["event"] == "webhook failed" for log in logs)
    everything = f"{logs}{listed}{events}{problem}"
    for secret in (added.secret, other.secret, "t0ken"):
        assert secret not in everything


async def test_adding_and_removing_are_safe_to_retry(any_master: InProcess, receiver: Receiver) -> None:
    await _short(any_master)
    first = await _add(any_master, receiver.url, request_id="one")
    assert await _add(any_master, receiver.url, request_id="one") == first
    others: list[tuple[str, tuple[str, ...]]] = [(receiver.url + "s", ()), (receiver.url, ("pool.used_up",))]
    for url, kinds in others:  # what is in the events is not enough to be told the secret
        assert (await failure(_add(any_master, url, *kinds, request_id="one"))).reason == "REQUEST_ID_TAKEN"
    assert (await failure(_add(any_master, receiver.url))).reason == "WEBHOOK_EXISTS"
    remove = webhook_pb2.RemoveWebhookRequest(name=f"{NAME}/webhooks/pager", request_id="two")
    for _ in range(2):
        await any_master.wire.webhooks.RemoveWebhook(remove)
    remove.request_id = "three"
    assert (await failure(any_master.wire.webhooks.RemoveWebhook(remove))).reason == "UNKNOWN_WEBHOOK"
    assert (await failure(_add(any_master, receiver.url, request_id="one"))).reason == "REQUEST_ID_TAKEN"
    assert (await failure(_add(any_master, receiver.url, request_id="two"))).reason == "REQUEST_ID_TAKEN"
    await _look(any_master)
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://x/", "http://", "https://user:pass@x.example/", "http://x.example/ y", "http://x:0/", "http://x:99999/",
        "http://x/\ny", "http://ä.example/", "http://x/#part", "http://x/" + "y" * 2000, "x.example/hook",
    ],
)  # fmt: skip
async def test_urls_that_are_none(master: InProcess, url: str) -> None:
    await _short(master)
    seen = await failure(_add(master, url))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(seen.fields) == ["url"]
    assert "pass" not in seen.message.replace("password", "")


async def test_names_and_kinds_that_are_none(master: InProcess) -> None:
    await _short(master)
    assert "kinds" in (await failure(_add(master, "http://x/", "pool.empty"))).fields
    for name in ("", "a b", "x/y", "-x", "x" * 64):
        assert list((await failure(_add(master, "http://x/", name=name))).fields) == ["name"]
    for number in range(20):
        await _add(master, "http://x/", name=f"pager-{number}")
    seen = await failure(_add(master, "http://x/", name="one-more"))
    assert (seen.code, seen.reason) == (grpc.StatusCode.ALREADY_EXISTS, "WEBHOOK_EXISTS")


async def test_a_receiver_that_does_not_answer_keeps_nobody_waiting(any_master: InProcess, receiver: Receiver) -> None:
    """Neither what is noticed, nor what others are told; and it is asked one thing at a time."""
    await _short(any_master, ttl_seconds=600)
    async with receiving() as stuck:
        stuck.answers = asyncio.Event()
        for number in range(3):
            await _add(any_master, stuck.url, name=f"stuck-{number}")
        await _add(any_master, receiver.url)
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
    await _short(any_master, ttl_seconds=600)
    await _add(any_master, receiver.url)
    receiver.status = 500
    for seconds in (0, 11, 21, 41, 81, 161):
        await _look(any_master, seconds=seconds)  # the next attempt is due 320 s after the last of these
    await _look(any_master, seconds=305)  # berlin has become silent; due again in 10 s, the other in 15 s
    receiver.status = 200
    await _look(any_master, seconds=20)
    assert receiver.kinds[-2:] == [("site.silent", "began"), ("pool.used_up", "began")]


async def test_who_is_added_is_told_what_stands_already(any_master: InProcess, receiver: Receiver) -> None:
    await _short(any_master, ttl_seconds=60)
    async with receiving() as first:
        await _add(any_master, first.url)
        await _look(any_master, seconds=120)
        assert len(first.got) == 2
        await _add(any_master, receiver.url, "pool.used_up", name="late")
        await _look(any_master, seconds=1)
        assert receiver.kinds == [("pool.used_up", "began")]
        collected = {received.said["kind"]: received.said["id"] for received in first.got}
        assert receiver.got[0].said["id"] == collected["pool.used_up"]  # the same alarm, not another one


async def test_what_nobody_was_told_of_any_more_does_not_stand(any_master: InProcess, receiver: Receiver) -> None:
    """It is not known whether it is still true."""
    berlin = await _short(any_master)
    await _add(any_master, receiver.url)
    await _look(any_master)
    remove = webhook_pb2.RemoveWebhookRequest(name=f"{NAME}/webhooks/pager", request_id="gone")
    await any_master.wire.webhooks.RemoveWebhook(remove)
    await berlin.give_back(*seats("port", 1))
    await _add(any_master, receiver.url)
    await _look(any_master)
    assert receiver.kinds == [("pool.used_up", "began")]


async def test_the_audit_says_where_messages_went(master: InProcess, receiver: Receiver) -> None:
    await _short(master)
    await _add(master, receiver.url)
    name = f"{NAME}/webhooks/pager"
    await master.wire.webhooks.TestWebhook(webhook_pb2.TestWebhookRequest(name=name))
    await master.wire.webhooks.RemoveWebhook(webhook_pb2.RemoveWebhookRequest(name=name, request_id="gone"))
    listed = await master.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_size=100))
    noted = {event.kind: json.loads(event.details) for event in listed.events if event.kind.startswith("webhook.")}
    target = f"http://127.0.0.1:{receiver.port}"
    assert noted == {
        "webhook.added": {"name": "pager", "target": target, "kinds": []},
        "webhook.tested": {"name": "pager", "target": target, "taken": True, "problem": ""},
        "webhook.removed": {"name": "pager", "target": target},
    }


async def test_a_site_that_never_came_up_is_silent_after_a_day(any_master: InProcess, receiver: Receiver) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 2}, pbxs={"paris": "slave 12 gateway"}))
    await _add(any_master, receiver.url, "site.silent")
    await _look(any_master, seconds=FIRST_CONTACT_SECONDS - 60)
    assert receiver.got == []
    await _look(any_master, seconds=120)
    assert {received.said["subject"] for received in receiver.got} >= {"site-paris"}
    [estate] = await any_master.running.status.overviews()
    assert estate.silent_since["site-paris"] == any_master.clock.now - FIRST_CONTACT_SECONDS - 60


async def test_a_receiver_with_a_certificate_of_ones_own_authority(
    sqlite_database_url: str, clock: Clock, tmp_path: Path
) -> None:
    pki = Pki(tmp_path / "pki")
    pki.serve(pki.server_key())
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "pki" / "server.crt", tmp_path / "pki" / "server.key")
    test = webhook_pb2.TestWebhookRequest(name=f"{NAME}/webhooks/pager")
    async with receiving(tls) as receiver:
        async with in_process_master(sqlite_database_url, clock) as master:
            await _short(master)
            await _add(master, receiver.url)
            assert "Certificate" in (await master.wire.webhooks.TestWebhook(test)).problem
        trusted = {"webhook_ca_file": tmp_path / "pki" / "ca.crt"}
        async with in_process_master(sqlite_database_url, clock, **trusted) as master:
            assert (await master.wire.webhooks.TestWebhook(test)).taken


async def test_a_receiver_that_is_lost_is_tried_by_one_message_at_a_time(master: InProcess) -> None:
    """Whichever webhook's it is; that the others wait costs them no attempt, and when it is back all are told."""
    tried = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        writer.close()

    await _short(master)
    lost = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = lost.sockets[0].getsockname()[1]
    async with lost:
        for number in range(6):
            await _add(master, f"http://127.0.0.1:{port}/{number}", name=f"pager-{number}")
        await _look(master)
        assert 1 <= tried <= 6
        for _ in range(8):
            tried = 0
            await _look(master, seconds=700)
            assert tried == 1
    listed = await master.wire.webhooks.ListDeadMessages(webhook_pb2.ListDeadMessagesRequest(project=NAME))
    assert not listed.messages
    async with receiving(port=port) as back:
        for _ in range(3):
            await _look(master, seconds=700)
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

    await _short(master, ttl_seconds=600)
    delivery = master.running.webhook_delivery
    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        for number in range(2):
            port = listening.sockets[0].getsockname()[1]
            await _add(master, f"http://127.0.0.1:{port}/{number}", name=f"pager-{number}")
        await master.running.alarms.run_once()
        await delivery.run_once()
        await until(lambda: tried == 2 and len(delivery._under_way) == 1)
        takes.clear()
        fails.set()
        await delivery.idle()
        tried = 0
        await _look(master, seconds=700)  # berlin has become silent: both are to be told
        assert tried == 1
    sent = {
        result: master.running.metrics.registry.get_sample_value(
            "license_master_webhook_messages_total", {"result": result}
        )
        for result in ("taken", "failed")
    }
    assert sent == {"taken": 1, "failed": 2}  # each attempt counts, and no other
