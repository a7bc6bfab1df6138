"""WebhookService: receivers of messages about what is wrong."""

from __future__ import annotations

from licensemaster.v1 import webhook_pb2 as api
from licensemaster.v1 import webhook_pb2_grpc
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

    async def AddWebhook(self, request: api.AddWebhookRequest, context: Context) -> api.AddWebhookResponse:
        caller = caller_of_call.get()
        key = request_key(request, reference, by=operator_of(caller))
        wanted = webhooks.add_request(request, key, caller)
        return webhooks.added(wanted.project, await self._webhooks.add(wanted))

    async def ListWebhooks(self, request: api.ListWebhooksRequest, context: Context) -> api.ListWebhooksResponse:
        project = incoming.project_name(request.project)
        listed = await self._webhooks.list(project)
        return api.ListWebhooksResponse(webhooks=[webhooks.shown(project, webhook) for webhook in listed])

    async def RemoveWebhook(self, request: api.RemoveWebhookRequest, context: Context) -> api.RemoveWebhookResponse:
        project, name = webhooks.name_of(request.name)
        key: RequestKey[None] = request_key(request, lambda _: b"")
        reason = incoming.reason(request.reason)
        await self._webhooks.remove(project, name, caller=caller_of_call.get(), key=key, reason=reason)
        return api.RemoveWebhookResponse()

    async def TestWebhook(self, request: api.TestWebhookRequest, context: Context) -> api.TestWebhookResponse:
        problem = await self._webhooks.test(*webhooks.name_of(request.name), caller=caller_of_call.get())
        return api.TestWebhookResponse(taken=not problem, problem=problem)

    async def ListDeadMessages(
        self, request: api.ListDeadMessagesRequest, context: Context
    ) -> api.ListDeadMessagesResponse:
        project = incoming.project_name(request.project)
        dead = await self._webhooks.dead(project, limit=DEAD_MAX)
        return api.ListDeadMessagesResponse(messages=[webhooks.dead_message(project, delivery) for delivery in dead])

    async def RetryDeadMessages(
        self, request: api.RetryDeadMessagesRequest, context: Context
    ) -> api.RetryDeadMessagesResponse:
        retried = await self._webhooks.retry_dead(incoming.project_name(request.project))
        return api.RetryDeadMessagesResponse(retried=retried)
