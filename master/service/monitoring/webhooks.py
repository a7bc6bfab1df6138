"""Webhooks as operators know them: added, listed, removed, tested; and messages that could not be delivered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from master.domain.monitoring.alarms import TEST_KIND, AlarmKind, AlarmState, News, body_of
from master.service.estates.estate_cache import read_estate
from master.service.estates.service_context import ServiceContext
from master.service.monitoring.webhook_delivery import ReceiverLostError, WebhookSender
from master.service.runtime.errors import RequestIdTakenError
from master.service.runtime.request_answers import ChangeRequest, RequestKey, answered_before, keep_answer
from master.store.backends.database import Tx, json_text
from master.store.statements import webhooks as store
from master.store.statements.events import Event, write_events
from master.store.statements.projects.projects import lock_for_apply

WEBHOOKS_MAX = 20
"""How many webhooks one project may have."""
_TESTS_MAX = 20
_TESTS_OF_PROJECT_MAX = 4
"""How many tests of one project may be under way: each holds a connection for as long as its receiver likes, up to the
time limit.
"""
_ADDED, _REMOVED, _TESTED = "webhook.added", "webhook.removed", "webhook.tested"


class WebhookExistsError(Exception):
    """A webhook of that name exists, or the project has as many webhooks as it may have."""


class WebhookTestUnderWayError(Exception):
    """This webhook is being tested, or as many are as may be at once; it can be tested again later."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnknownWebhookError(LookupError):
    def __init__(self, project: str, name: str) -> None:
        super().__init__(f"projects/{project}/webhooks/{name} is unknown; `license-master webhook list` lists all")


class AddWebhook(ChangeRequest[store.Webhook], kw_only=True):
    """A request to add a webhook. The key is the caller's own, as the answer has a secret; what is kept of that answer
    is a `reference`.
    """

    project: str
    name: str
    url: str
    kinds: tuple[AlarmKind, ...]
    """The kinds of alarms to send; empty for all."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.project!r}, {self.name!r})"  # its address may have a secret in it


def reference(webhook: store.Webhook) -> bytes:
    """Return what names a webhook without its secret; no webhook added later under the same name or number has the
    same.
    """
    return json.dumps([webhook.id, webhook.added_at]).encode()


class Webhooks:
    """The verbs on webhooks, except sending."""

    def __init__(self, context: ServiceContext, *, webhook_sender: WebhookSender, secret: Callable[[], str]) -> None:
        self._context = context
        self._sender = webhook_sender
        self._secret = secret
        self._tested: dict[int, int] = {}
        """The project ids of webhooks that are being tested, by webhook id."""

    async def add(self, request: AddWebhook) -> store.Webhook:
        """Add a webhook with a new secret, and send it the alarms that hold now; the same request again gives the same
        answer.

        A request is the same if caller, URL and kinds are the same: nobody else gets the secret.

        Raises:
            UnknownProjectError: there is no such project.
            WebhookExistsError: a webhook of that name exists, or the project has as many as it may have.
            RequestIdTakenError: the request id was used for something else.
        """
        now, secret = self._context.lease_time().now, self._secret()

        def work(tx: Tx) -> store.Webhook:
            lock_for_apply(tx, request.project)
            project_id = read_estate(tx, self._context.estates, request.project).project_id
            webhooks = {webhook.name: webhook for webhook in store.webhooks(tx, project_id)}
            kinds = " ".join(kind.value for kind in request.kinds)
            if (before := answered_before(tx, project_id, request.key)) is not None:
                known = webhooks.get(request.name)
                if known is not None and reference(known) == before.answer:
                    return known
                raise RequestIdTakenError(request.key.request_id, "a webhook that was removed since")
            if request.name in webhooks:
                raise WebhookExistsError(
                    f"name: there is a webhook {request.name!r}; remove it first or take another name"
                )
            if len(webhooks) >= WEBHOOKS_MAX:
                raise WebhookExistsError(f"a project has at most {WEBHOOKS_MAX} webhooks; remove one first")
            new = store.Webhook(0, project_id, request.name, request.url, secret, kinds, request.caller, now)
            store.add_webhook(tx, new)
            added = self._named(tx, request.project, project_id, request.name)
            for alarm in store.alarm_states(tx, project_id):
                if added.wants(alarm.kind):
                    store.tell(tx, [added.id], body_of(request.project, alarm, News.BEGAN, sent_at=now), now)
            details = json_text({"name": added.name, "target": added.target, "kinds": kinds.split()})
            keep_answer(tx, project_id, request.key, added, now=now)
            write_events(tx, [request.event(_ADDED, project_id, details, now=now)])
            return added

        return await self._context.questions.transact(work)

    async def list(self, project: str) -> Sequence[store.Webhook]:
        """Return a project's webhooks, sorted by name. Raises UnknownProjectError if there is no such project."""
        return await self._context.read_project(project, lambda tx, estate: store.webhooks(tx, estate.project_id))

    async def remove(self, project: str, name: str, *, caller: str, key: RequestKey[None], reason: str) -> None:
        """Remove a webhook, with its messages that are not yet delivered.
        Raises UnknownProjectError or UnknownWebhookError if there is no such project or webhook, RequestIdTakenError if
        the request id was used for something else."""
        now = self._context.lease_time().now

        def work(tx: Tx) -> None:
            lock_for_apply(tx, project)
            project_id = read_estate(tx, self._context.estates, project).project_id
            if answered_before(tx, project_id, key) is not None:
                return
            gone = self._named(tx, project, project_id, name)
            store.remove_webhook(tx, gone)
            details = json_text({"name": name, "target": gone.target})
            keep_answer(tx, project_id, key, None, now=now)
            write_events(tx, [Event(now, project_id, "", _REMOVED, caller, key.request_id, details, reason)])

        await self._context.questions.transact(work)

    async def test(self, project: str, name: str, *, caller: str) -> str:
        """Send a message of the kind `webhook.test` at once, and only once; return what went wrong, empty where nothing
        did.
        Raises UnknownProjectError or UnknownWebhookError if there is no such project or webhook,
        WebhookTestUnderWayError if another test of the webhook has not ended, or too many tests are under way."""
        now = self._context.lease_time().now
        webhook = await self._context.read_project(
            project, lambda tx, estate: self._named(tx, project, estate.project_id, name)
        )
        alarm = AlarmState(TEST_KIND, name, "a test; nothing is wrong", began_at=now, gone_at=None)
        body = body_of(project, alarm, News.TEST, sent_at=now)
        with self._alone(webhook):
            try:
                problem = await self._sender.post(webhook, body)
            except ReceiverLostError as error:
                problem = str(error)
        details = json_text({"name": name, "target": webhook.target, "taken": not problem, "problem": problem})
        event = Event(self._context.lease_time().now, webhook.project_id, "", _TESTED, caller, None, details, "")
        await self._context.questions.transact(lambda tx: write_events(tx, [event]))
        return problem

    @contextmanager
    def _alone(self, webhook: store.Webhook) -> Iterator[None]:
        of_project = Counter(self._tested.values())[webhook.project_id]
        problem = ""
        if webhook.id in self._tested:
            problem = f"name: a test of {webhook.name!r} is under way; wait for its answer"
        elif of_project >= _TESTS_OF_PROJECT_MAX or len(self._tested) >= _TESTS_MAX:
            problem = "as many webhooks are being tested as may be at once; wait for an answer"
        if problem:
            raise WebhookTestUnderWayError(problem, self._sender.timeout_seconds)
        self._tested[webhook.id] = webhook.project_id
        try:
            yield
        finally:
            del self._tested[webhook.id]

    async def dead(self, project: str, *, limit: int) -> Sequence[store.Delivery]:
        """List the messages that could not be delivered, the latest first.
        Raises UnknownProjectError if there is no such project."""
        return await self._context.read_project(
            project, lambda tx, estate: store.dead(tx, estate.project_id, limit=limit)
        )

    async def retry_dead(self, project: str) -> int:
        """Have undeliverable messages of a project sent again; return how many messages.
        Raises UnknownProjectError if there is no such project."""
        now = self._context.lease_time().now
        return await self._context.questions.transact(
            lambda tx: store.revive(tx, read_estate(tx, self._context.estates, project).project_id, now=now)
        )

    @staticmethod
    def _named(tx: Tx, project: str, project_id: int, name: str) -> store.Webhook:
        named = next((webhook for webhook in store.webhooks(tx, project_id) if webhook.name == name), None)
        if named is None:
            raise UnknownWebhookError(project, name)
        return named
