"""What an operator can make a master do to others by webhooks: nothing inside, and not much at once."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from licensemaster.v1 import webhook_pb2
from master.service.monitoring import receiver_names, webhooks
from tests.rpc.failures import NAME, failure
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.network.receiver import receiving
from tests.support.projects.estates import project
from tests.support.waiting import until


async def _named(
    master: InProcess, urls: Sequence[str], *, prefix: str = "hook"
) -> list[webhook_pb2.TestWebhookRequest]:
    """What tests each of these, after they were added."""
    await master.wire.apply(project({"PBX-Port12": 2}, pbxs={"berlin": "slave 12 gateway"}))
    names = [f"{NAME}/webhooks/{prefix}-{number}" for number in range(len(urls))]
    for name, url in zip(names, urls, strict=True):
        await master.wire.webhooks.AddWebhook(webhook_pb2.AddWebhookRequest(name=name, url=url, request_id=name))
    return [webhook_pb2.TestWebhookRequest(name=name) for name in names]


async def test_nothing_inside_can_be_told_from_anything_else(
    sqlite_database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open, closed, unknown: one answer, and nothing arrives. What a name leads to counts when it is connected to."""
    ask = socket.getaddrinfo

    def lead_inside(host: Any, *arguments: Any, **options: Any) -> Any:
        return ask("127.0.0.1" if host == "hooks.example" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lead_inside)
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        master = await stack.enter_async_context(in_process_master(sqlite_database_url, clock, webhook_networks=()))
        hosts = ["127.0.0.1", "localhost", "hooks.example", "[::ffff:127.0.0.1]"]
        tests = await _named(
            master,
            [
                *(f"http://{host}:{receiver.port}/" for host in hosts),
                "http://127.0.0.1:1/",
                f"https://127.0.0.1:{receiver.port}/",
                "http://name.invalid/",
            ],
        )
        collected = [await master.wire.webhooks.TestWebhook(test) for test in tests]
        assert len({response.problem for response in collected}) == 1
        assert "webhook_networks" in collected[0].problem
        assert not any(response.taken for response in collected)
        assert not receiver.got
    async with receiving() as receiver, in_process_master(sqlite_database_url, clock) as master:
        (test,) = await _named(master, [f"http://hooks.example:{receiver.port}/"], prefix="allowed")
        assert (await master.wire.webhooks.TestWebhook(test)).taken


async def test_tests_that_are_not_answered_hold_no_more_than_their_number(master: InProcess) -> None:
    async with receiving() as stuck:
        stuck.answers = asyncio.Event()
        limit = webhooks._TESTS_OF_PROJECT_MAX
        tests = await _named(master, [stuck.url] * (limit + 1))
        first = [asyncio.ensure_future(master.wire.webhooks.TestWebhook(test)) for test in tests[:limit]]
        await stuck.has(limit)
        refused = [await failure(master.wire.webhooks.TestWebhook(test)) for test in tests * 20]
        assert {(seen.code, seen.reason) for seen in refused} == {
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "TEST_UNDER_WAY")
        }
        assert len(stuck.got) == limit
        stuck.answers.set()
        assert all(response.taken for response in await asyncio.gather(*first))
        assert (await master.wire.webhooks.TestWebhook(tests[-1])).taken


@pytest.mark.parametrize(("content", "problem"), [("no certificate", "holds no certificate"), (None, "cannot be read")])
async def test_an_authority_that_is_none(
    sqlite_database_url: str, clock: Clock, tmp_path: Path, content: str | None, problem: str
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=f"webhook_ca_file: .*{problem}"):
        async with in_process_master(sqlite_database_url, clock, webhook_ca_file=file):
            pass


async def test_names_that_nobody_answers_for_keep_no_other_project_waiting(
    sqlite_database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking goes on after those who asked gave up: here, until the test ends."""
    ask, answered, asked = socket.getaddrinfo, threading.Event(), list[str]()

    def never_answer(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".silent.example"):
            asked.append(host)
            answered.wait(HANG_SECONDS)
        return ask("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", never_answer)
    settings = {"webhook_timeout_seconds": 0.2}
    async with receiving() as receiver, in_process_master(sqlite_database_url, clock, **settings) as master:
        try:
            silent = await _named(master, [f"http://{number}.silent.example/" for number in range(20)])
            for test in silent:
                assert "within 0.2 s" in (await master.wire.webhooks.TestWebhook(test)).problem
            assert len(asked) == receiver_names._OF_PROJECT_MAX
            other = project({"PBX-Port12": 2})
            other.name = "other"
            await master.wire.apply(other)
            name = "projects/other/webhooks/told"
            url = f"http://hooks.example:{receiver.port}/"
            await master.wire.webhooks.AddWebhook(webhook_pb2.AddWebhookRequest(name=name, url=url, request_id=name))
            async with asyncio.timeout(HANG_SECONDS):  # 0.2 s are few on a busy machine
                while not (await master.wire.webhooks.TestWebhook(webhook_pb2.TestWebhookRequest(name=name))).taken:
                    pass
            answered.set()
            again = webhook_pb2.TestWebhookRequest(name=silent[-1].name)
            await until(lambda: _is_asked(master, again, asked))
        finally:
            answered.set()


async def _is_asked(master: InProcess, test: webhook_pb2.TestWebhookRequest, asked: Sequence[str]) -> bool:
    """Once those before it were answered, a name is asked for."""
    await master.wire.webhooks.TestWebhook(test)
    return len(asked) > receiver_names._OF_PROJECT_MAX
