"""Sends webhooks their messages, at least once; what is to be sent, `alarms.py` notes.

Each webhook is served by itself, one message after the other in the order in which they are due: one that does not
answer delays nobody else. A receiver that is lost is tried by one message at a time, whichever webhook's it is,
and the others wait without that counting as an attempt of theirs. Several masters may send: a message is taken by one
of them for a while. What was not taken by its receiver is tried again, ever more rarely, then it is dead: listed, and
tried again when an operator says so.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from master.domain.monitoring.alarms import signature, wait_seconds
from master.domain.monitoring.receiver_addresses import Network, may_be_told
from master.metrics import Metrics
from master.process.attempts import Attempts, StillLostError
from master.service.runtime.periodic import PeriodicTask
from master.store.backends.database import Database, StorageError, Tx
from master.store.statements import webhooks as store

if TYPE_CHECKING:
    import aiohttp
    from aiohappyeyeballs import AddrInfoType

_log = structlog.get_logger(__name__)
_WEBHOOKS_AT_ONCE_MAX = 500
"""How many webhooks are served at once, as each takes a socket; beyond that, those wait that became due last."""


_RECEIVER_WAIT_MAX_SECONDS = 30.0
"""The longest pause between two attempts to reach a lost receiver, in seconds, while messages to it are due."""


class ReceiverLostError(Exception):
    """A receiver did not answer."""


_NOWHERE = (
    "the receiver's address is unknown, or it is neither public nor in a network of `webhook_networks`, which whoever"
    " runs the master sets"
)
"""One answer for all of these cases: it shows nobody which names and addresses exist inside."""


class _AddressRefusedError(OSError):
    """Messages may not go to this address; nothing was sent."""


class WebhookSender:
    """Sends signed messages to webhooks by HTTP, and returns what went wrong."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        timeout_seconds: float,
        agent: str,
        ca_file: Path | None,
        networks: Sequence[Network],
    ) -> None:
        """Receivers' certificates must be signed by an authority that the system trusts, or by one in `ca_file`.

        Receivers are reached at public addresses, and at those in `networks`.
        Raises ValueError if `ca_file` cannot be read, or holds no certificate.
        """
        self._clock = clock
        self._trust = None if ca_file is None else _ssl_context(ca_file)
        self.timeout_seconds = timeout_seconds
        """How many seconds a receiver may take to answer."""
        self._agent = agent
        self._networks = networks
        self._session: aiohttp.ClientSession | None = None

    async def post(self, webhook: store.Webhook, body: str) -> str:
        """Send a message to a webhook; return why the receiver did not take it, empty where it did. The answer never
        has the URL or the secret.
        Raises ReceiverLostError if the receiver did not answer; the text says how."""
        import aiohttp  # 7 MiB, for masters that have a receiver

        from master.service.monitoring.receiver_names import ReceiverNames, project_of_message

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                trust_env=False,  # neither a proxy for browsing nor ~/.netrc has a say in where alarms go
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(
                    limit=0,  # waiting for others would count as not answering
                    ssl=self._trust or True,
                    socket_factory=self._socket,
                    resolver=ReceiverNames(),
                    use_dns_cache=False,  # else who gives up leaves a lookup behind that waits for its turn
                ),
            )
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "License-Master-Signature": signature(webhook.secret, body, int(self._clock())),
        }
        project_of_message.set(webhook.project_id)
        try:
            async with self._session.post(
                webhook.url, data=body.encode(), headers=headers, allow_redirects=False
            ) as answer:
                return "" if 200 <= answer.status < 300 else f"the receiver answered {answer.status}"
        except TimeoutError as error:
            raise ReceiverLostError(f"the receiver did not answer within {self.timeout_seconds:g} s") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise ReceiverLostError(_NOWHERE) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(getattr(error, "os_error", None), _AddressRefusedError):
                raise ReceiverLostError(_NOWHERE) from error
            raise ReceiverLostError(f"the receiver could not be reached: {type(error).__name__}") from error

    def _socket(self, to: AddrInfoType) -> socket.socket:
        """Make a socket for a new connection, or refuse the address: the address itself is checked, whatever the name
        resolved to before.
        """
        family, kind, protocol, _, address = to
        if not may_be_told(str(address[0]), self._networks):
            raise _AddressRefusedError(errno.EACCES, "not allowed")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _ssl_context(ca_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except OSError as error:  # an SSLError is one
        problem = (
            "holds no certificate in PEM" if isinstance(error, ssl.SSLError) else f"cannot be read: {error.strerror}"
        )
        raise ValueError(f"webhook_ca_file: {ca_file}: {problem}") from error
    return context


class WebhookDelivery(PeriodicTask):
    """Has every webhook with due messages served by a task of its own; waits for none of them."""

    def __init__(
        self,
        *,
        database: Database,
        webhook_sender: WebhookSender,
        clock: Callable[[], float],
        metrics: Metrics,
        interval_seconds: float,
    ) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._database = database
        self._sender = webhook_sender
        self._clock = clock
        self._metrics = metrics
        self._receivers: WeakValueDictionary[str, Attempts] = WeakValueDictionary()
        """The attempts to reach a receiver, by scheme and address, while it is lost or a message to it
        is being sent.
        """
        self._lost: dict[str, Attempts] = {}
        """The attempts of the receivers that did not answer."""
        self._under_way: dict[int, asyncio.Task[None]] = {}
        """The tasks that send, by webhook id."""

    async def run_once(self) -> None:
        """Begin to send to every webhook that has due messages and is not being served already."""
        due = await self._database.read(lambda tx: store.webhooks_due(tx, now=self._clock()))
        for webhook_id in due:
            if webhook_id not in self._under_way and len(self._under_way) < _WEBHOOKS_AT_ONCE_MAX:
                task = asyncio.create_task(self._send_all(webhook_id), name=f"webhook {webhook_id}")
                self._under_way[webhook_id] = task
                task.add_done_callback(partial(self._ended, webhook_id))

    def _ended(self, webhook_id: int, _: asyncio.Task[None]) -> None:
        del self._under_way[webhook_id]

    async def idle(self) -> None:
        """Wait until nothing is being sent any more."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())

    async def stop(self) -> None:
        """End; messages under way are cancelled and sent again by the next run, at any master."""
        await super().stop()
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, webhook_id: int) -> None:
        """Send one webhook its due messages, until none is left or the receiver refuses one: then other webhooks have
        their turn.
        """
        try:
            while await self._send_next(webhook_id):
                pass
        except StorageError as error:
            _log.warning("waits", task=type(self).__name__, reason=str(error))
        except Exception:
            _log.exception("delivery failed", task=type(self).__name__)

    async def _send_next(self, webhook_id: int) -> bool:
        now = self._clock()
        until = now + 2 * self._sender.timeout_seconds + 30
        delivery = await self._database.transact(lambda tx: store.take_due(tx, webhook_id, now=now, until=until))
        if delivery is None:
            return False
        try:
            problem = await self._attempt(delivery)
        except StillLostError as error:
            due_at = self._clock() + error.wait_seconds
            await self._database.transact(lambda tx: store.put_off(tx, delivery.id, due_at=due_at))
            return False
        await self._database.transact(lambda tx: self._record(tx, delivery, problem))
        self._metrics.webhook_messages.labels("failed" if problem else "taken").inc()
        if problem:
            _log.warning(
                "webhook failed", webhook=delivery.webhook.name, attempt=delivery.attempts + 1, problem=problem
            )
        return not problem

    async def _attempt(self, delivery: store.Delivery) -> str:
        """Send one message; return what went wrong, empty where nothing did. Raise StillLostError where the receiver is
        lost and it is not the time to try.
        """
        target = delivery.webhook.target
        new = Attempts(wait_max_seconds=_RECEIVER_WAIT_MAX_SECONDS, now=self._clock)
        receiver = self._receivers.setdefault(target, new)
        try:
            with receiver.attempt(ReceiverLostError):
                return await self._sender.post(delivery.webhook, delivery.body)
        except ReceiverLostError as error:
            return str(error)
        finally:
            if receiver.failing:
                self._lost[target] = receiver
            else:
                self._lost.pop(target, None)

    def _record(self, tx: Tx, delivery: store.Delivery, problem: str) -> None:
        if not problem:
            store.delivered(tx, delivery.id)
            return
        attempts = delivery.attempts + 1
        wait = wait_seconds(attempts)
        due_at = None if wait is None else self._clock() + wait
        store.failed(tx, delivery.id, attempts=attempts, due_at=due_at, problem=problem)
