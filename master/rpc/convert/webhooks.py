"""Webhooks from and to messages. No message has a receiver's whole URL, and only that of `added` has the secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from licensemaster import values
from licensemaster.v1 import webhook_pb2
from master.domain.monitoring.alarms import AlarmKind
from master.rpc.convert import incoming
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message
from master.service.monitoring.webhooks import AddWebhook
from master.service.runtime.request_answers import RequestKey
from master.store.statements.webhooks import Delivery, Webhook

_NAME = re.compile(r"projects/([^/]{1,63})/webhooks/([A-Za-z0-9][A-Za-z0-9._-]{0,62})")
_URL_MAX = 2000
_KINDS = {kind.value: kind for kind in AlarmKind}


def name_of(text: str) -> tuple[str, str]:
    """Read `projects/{project}/webhooks/{webhook}` as (project, webhook).
    Raises InvalidArgumentError if the text is not of that form."""
    match = _NAME.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(
            "name", f"{text[:80]!r} must be projects/PROJECT/webhooks/NAME; NAME has letters, digits, dots, dashes"
        )
    return incoming.project_name(f"projects/{match[1]}", "name"), match[2]


def add_request(request: webhook_pb2.AddWebhookRequest, key: RequestKey[Webhook], caller: str) -> AddWebhook:
    """Read a receiver to be added.
    Raises InvalidArgumentError if a field is wrong, and names it, but never repeats the URL."""
    project, name = name_of(request.name)
    return AddWebhook(
        project=project,
        name=name,
        url=_url(request.url),
        kinds=_kinds(request.kinds),
        caller=caller,
        key=key,
        reason=incoming.reason(request.reason),
    )


def _url(text: str) -> str:
    try:
        read = values.url(text[: 2 * _URL_MAX], schemes=("http", "https"))
    except values.BadValueError as error:
        raise InvalidArgumentError("url", f"must be http://HOST/... or https://HOST/...: {error}") from error
    if len(read) > _URL_MAX:
        raise InvalidArgumentError("url", f"must have at most {_URL_MAX} characters")
    parts = urlsplit(read)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidArgumentError("url", "must have no user name, password or fragment; put a token into the path")
    return read


def _kinds(names: Sequence[str]) -> tuple[AlarmKind, ...]:
    for name in names:
        if name not in _KINDS:
            raise InvalidArgumentError("kinds", f"{name[:80]!r} is none of {', '.join(sorted(_KINDS))}")
    return tuple(_KINDS[name] for name in dict.fromkeys(names))


def shown(project: str, webhook: Webhook) -> webhook_pb2.Webhook:
    """Return the message of a webhook's receiver, without its secrets."""
    return message(
        webhook_pb2.Webhook, webhook, name=f"projects/{project}/webhooks/{webhook.name}", kinds=webhook.kinds.split()
    )


def added(project: str, webhook: Webhook) -> webhook_pb2.AddWebhookResponse:
    return webhook_pb2.AddWebhookResponse(webhook=shown(project, webhook), secret=webhook.secret)


def dead_message(project: str, delivery: Delivery) -> webhook_pb2.DeadMessage:
    """Return the API's message of an undeliverable message."""
    webhook = f"projects/{project}/webhooks/{delivery.webhook.name}"
    return message(webhook_pb2.DeadMessage, delivery, webhook=webhook)
