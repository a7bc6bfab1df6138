"""WebhookService: receivers of messages about what is wrong."""

from __future__ import annotations

from licensemaster.v1 import webhook_pb2, webhook_pb2_grpc
from master.auth.callers.identity import operator_of
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.context import Context
from master.rpc.convert import incoming, webhooks
from master.rpc.repeatable import request_key
from master.service.monitoring.webhooks import Webhooks, reference
from master.service.runtime.request_answers import RequestKey
from master.store.statements.webhooks import DEAD_MAX


class WebhookService(webhook_pb2_grpc.WebhookServiceServicer):
    def __init__(self, service: Webhooks) -> None:
        self._webhooks = service

    async def AddWebhook(
        self, request: webhook_pb2.AddWebhookRequest, context: Context
    ) -> webhook_pb2.AddWebhookResponse:
        caller = caller_of_call.get()
        key = request_key(request, reference, by=operator_of(caller))
        wanted = webhooks.add_request(request, key, caller)
        return webhooks.added(wanted.project, await self._webhooks.add(wanted))

    async def ListWebhooks(
        self, request: webhook_pb2.ListWebhooksRequest, context: Context
    ) -> webhook_pb2.ListWebhooksResponse:
        project = incoming.project_name(request.project)
        listed = await self._webhooks.list(project)
        return webhook_pb2.ListWebhooksResponse(webhooks=[webhooks.shown(project, webhook) for webhook in listed])

    async def RemoveWebhook(
        self, request: webhook_pb2.RemoveWebhookRequest, context: Context
    ) -> webhook_pb2.RemoveWebhookResponse:
        project, name = webhooks.name_of(request.name)
        key: RequestKey[None] = request_key(request, lambda _: b"")
        reason = incoming.reason(request.reason)
        await self._webhooks.remove(project, name, caller=caller_of_call.get(), key=key, reason=reason)
        return webhook_pb2.RemoveWebhookResponse()

    async def TestWebhook(
        self, request: webhook_pb2.TestWebhookRequest, context: Context
    ) -> webhook_pb2.TestWebhookResponse:
        problem = await self._webhooks.test(*webhooks.name_of(request.name), caller=caller_of_call.get())
        return webhook_pb2.TestWebhookResponse(taken=not problem, problem=problem)

    async def ListDeadMessages(
        self, request: webhook_pb2.ListDeadMessagesRequest, context: Context
    ) -> webhook_pb2.ListDeadMessagesResponse:
        project = incoming.project_name(request.project)
        dead = await self._webhooks.dead(project, limit=DEAD_MAX)
        return webhook_pb2.ListDeadMessagesResponse(
            messages=[webhooks.dead_message(project, delivery) for delivery in dead]
        )

    async def RetryDeadMessages(
        self, request: webhook_pb2.RetryDeadMessagesRequest, context: Context
    ) -> webhook_pb2.RetryDeadMessagesResponse:
        retried = await self._webhooks.retry_dead(incoming.project_name(request.project))
        return webhook_pb2.RetryDeadMessagesResponse(retried=retried)
