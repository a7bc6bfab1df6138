"""An estate that runs out of ports, and webhooks that say so."""

from __future__ import annotations

from uuid import uuid4

from licensemaster.v1 import webhook_pb2
from tests.rpc.failures import NAME
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project

PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}


async def add_webhook(
    master: InProcess, url: str, *kinds: str, name: str = "pager", request_id: str = ""
) -> webhook_pb2.AddWebhookResponse:
    request = webhook_pb2.AddWebhookRequest(
        name=f"{NAME}/webhooks/{name}", url=url, kinds=kinds, request_id=request_id or str(uuid4())
    )
    return await master.wire.webhooks.AddWebhook(request)


async def look_and_send(master: InProcess, *, seconds: float = 0) -> None:
    master.clock.advance(seconds)
    await master.running.alarms.run_once()
    await master.running.webhook_delivery.run_once()
    await master.running.webhook_delivery.idle()


async def short_estate(master: InProcess, *, ttl_seconds: int = 86_400) -> BarePbx:
    """Berlin has all ports."""
    await master.wire.apply(project({"PBX-Port12": 2}, pbxs=PBXS, ttl_seconds=ttl_seconds))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 2)))
    return berlin


async def dead_messages(master: InProcess) -> list[webhook_pb2.DeadMessage]:
    request = webhook_pb2.ListDeadMessagesRequest(project=NAME)
    return list((await master.wire.webhooks.ListDeadMessages(request)).messages)
