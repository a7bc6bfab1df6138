"""Webhooks end to end: a real master, a real receiver; what is wrong is told once, signed, and until it is taken."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from pathlib import Path

import grpc
import pytest
import structlog

from licensemaster.v1 import status_pb2, webhook_pb2
from master.domain.monitoring.alarms import CALM_SECONDS
from master.domain.monitoring.overview import FIRST_CONTACT_SECONDS
from tests.auth.pki import Pki
from tests.rpc.failures import NAME, failure
from tests.service.monitoring.webhooks import add_webhook, dead_messages, look_and_send, short_estate
from tests.support.masters import Clock, InProcess, in_process_master, two_masters
from tests.support.network.receiver import Receiver, receiving
from tests.support.pbxs.pbx import granted, seats
from tests.support.projects.estates import project


async def test_what_begins_is_told_once_signed_and_told_when_it_ends(any_master: InProcess, receiver: Receiver) -> None:
    berlin = await short_estate(any_master)
    secret = (await add_webhook(any_master, receiver.url)).secret
    for _ in range(3):
        await look_and_send(any_master, seconds=1)
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
    await look_and_send(any_master)
    granted(await berlin.acquire(*seats("port", 1)))
    await look_and_send(any_master, seconds=CALM_SECONDS + 1)
    await berlin.give_back(*seats("port", 1))
    await look_and_send(any_master)
    await look_and_send(any_master, seconds=CALM_SECONDS - 1)
    assert receiver.kinds == [("pool.used_up", "began")]  # it came back, and has not been calm for long
    await look_and_send(any_master, seconds=2)
    assert receiver.kinds == [("pool.used_up", "began"), ("pool.used_up", "ended")]
    assert receiver.got[1].said["begin_time"] == receiver.got[0].said["begin_time"]
    assert receiver.got[1].said["id"] != receiver.got[0].said["id"]
    assert await dead_messages(any_master) == []


async def test_only_the_kinds_that_were_asked_for(any_master: InProcess, receiver: Receiver) -> None:
    await short_estate(any_master, ttl_seconds=60)
    await add_webhook(any_master, receiver.url, "site.silent")
    await look_and_send(any_master)
    assert receiver.got == []
    await look_and_send(any_master, seconds=120)
    assert receiver.kinds == [("site.silent", "began")]
    assert receiver.got[0].said["subject"] == "site-berlin"


async def test_two_masters_tell_once(postgresql_database_url: str, clock: Clock, receiver: Receiver) -> None:
    async with two_masters(postgresql_database_url, clock) as (first, two):
        await short_estate(first)
        await add_webhook(first, receiver.url)
        for _ in range(3):
            await look_and_send(two)
            await look_and_send(first)
        assert receiver.kinds == [("pool.used_up", "began")]


async def test_a_test_message(any_master: InProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # for browsing; it leads to no receiver
    await short_estate(any_master)
    await add_webhook(any_master, receiver.url)
    request = webhook_pb2.TestWebhookRequest(name=f"{NAME}/webhooks/pager")
    assert (await any_master.wire.webhooks.TestWebhook(request)).taken
    assert receiver.kinds == [("webhook.test", "test")]
    receiver.status = 403
    answer = await any_master.wire.webhooks.TestWebhook(request)
    assert (answer.taken, answer.problem) == (False, "the receiver answered 403")


async def test_secrets_are_told_once_and_get_into_no_log_list_event_or_error(
    master: InProcess, receiver: Receiver
) -> None:
    await short_estate(master)
    with structlog.testing.capture_logs() as logs:
        added = await add_webhook(master, receiver.url)
        closed = receiver.url.replace(str(receiver.port), "1")
        other = await add_webhook(master, closed, name="closed")
        await look_and_send(master)
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
    await short_estate(any_master)
    first = await add_webhook(any_master, receiver.url, request_id="one")
    assert await add_webhook(any_master, receiver.url, request_id="one") == first
    others: list[tuple[str, tuple[str, ...]]] = [(receiver.url + "s", ()), (receiver.url, ("pool.used_up",))]
    for url, kinds in others:  # what is in the events is not enough to be told the secret
        assert (await failure(add_webhook(any_master, url, *kinds, request_id="one"))).reason == "REQUEST_ID_TAKEN"
    assert (await failure(add_webhook(any_master, receiver.url))).reason == "WEBHOOK_EXISTS"
    remove = webhook_pb2.RemoveWebhookRequest(name=f"{NAME}/webhooks/pager", request_id="two")
    for _ in range(2):
        await any_master.wire.webhooks.RemoveWebhook(remove)
    remove.request_id = "three"
    assert (await failure(any_master.wire.webhooks.RemoveWebhook(remove))).reason == "UNKNOWN_WEBHOOK"
    assert (await failure(add_webhook(any_master, receiver.url, request_id="one"))).reason == "REQUEST_ID_TAKEN"
    assert (await failure(add_webhook(any_master, receiver.url, request_id="two"))).reason == "REQUEST_ID_TAKEN"
    await look_and_send(any_master)
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://x/", "http://", "https://user:pass@x.example/", "http://x.example/ y", "http://x:0/", "http://x:99999/",
        "http://x/\ny", "http://ä.example/", "http://x/#part", "http://x/" + "y" * 2000, "x.example/hook",
    ],
)  # fmt: skip
async def test_urls_that_are_none(master: InProcess, url: str) -> None:
    await short_estate(master)
    seen = await failure(add_webhook(master, url))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(seen.fields) == ["url"]
    assert "pass" not in seen.message.replace("password", "")


async def test_names_and_kinds_that_are_none(master: InProcess) -> None:
    await short_estate(master)
    assert "kinds" in (await failure(add_webhook(master, "http://x/", "pool.empty"))).fields
    for name in ("", "a b", "x/y", "-x", "x" * 64):
        assert list((await failure(add_webhook(master, "http://x/", name=name))).fields) == ["name"]
    for number in range(20):
        await add_webhook(master, "http://x/", name=f"pager-{number}")
    seen = await failure(add_webhook(master, "http://x/", name="one-more"))
    assert (seen.code, seen.reason) == (grpc.StatusCode.ALREADY_EXISTS, "WEBHOOK_EXISTS")


async def test_who_is_added_is_told_what_stands_already(any_master: InProcess, receiver: Receiver) -> None:
    await short_estate(any_master, ttl_seconds=60)
    async with receiving() as first:
        await add_webhook(any_master, first.url)
        await look_and_send(any_master, seconds=120)
        assert len(first.got) == 2
        await add_webhook(any_master, receiver.url, "pool.used_up", name="late")
        await look_and_send(any_master, seconds=1)
        assert receiver.kinds == [("pool.used_up", "began")]
        collected = {received.said["kind"]: received.said["id"] for received in first.got}
        assert receiver.got[0].said["id"] == collected["pool.used_up"]  # the same alarm, not another one


async def test_what_nobody_was_told_of_any_more_does_not_stand(any_master: InProcess, receiver: Receiver) -> None:
    """It is not known whether it is still true."""
    berlin = await short_estate(any_master)
    await add_webhook(any_master, receiver.url)
    await look_and_send(any_master)
    remove = webhook_pb2.RemoveWebhookRequest(name=f"{NAME}/webhooks/pager", request_id="gone")
    await any_master.wire.webhooks.RemoveWebhook(remove)
    await berlin.give_back(*seats("port", 1))
    await add_webhook(any_master, receiver.url)
    await look_and_send(any_master)
    assert receiver.kinds == [("pool.used_up", "began")]


async def test_the_audit_says_where_messages_went(master: InProcess, receiver: Receiver) -> None:
    await short_estate(master)
    await add_webhook(master, receiver.url)
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
    await add_webhook(any_master, receiver.url, "site.silent")
    await look_and_send(any_master, seconds=FIRST_CONTACT_SECONDS - 60)
    assert receiver.got == []
    await look_and_send(any_master, seconds=120)
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
            await short_estate(master)
            await add_webhook(master, receiver.url)
            assert "Certificate" in (await master.wire.webhooks.TestWebhook(test)).problem
        trusted = {"webhook_ca_file": tmp_path / "pki" / "ca.crt"}
        async with in_process_master(sqlite_database_url, clock, **trusted) as master:
            assert (await master.wire.webhooks.TestWebhook(test)).taken
