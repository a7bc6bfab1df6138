"""Why no connection comes about although somebody listens: certificates, clocks, names, plain text against TLS.

gRPC says of each that nobody can be reached; what its own TLS saw is in the small print. Decides: the cause, from that
and, where it says too little, from one greeting to the master, which tells it nothing and believes it nothing. Leaves
to others: when to ask, and who is notified.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from cryptography import x509

from licensemaster.files.writer import write_file
from licensemaster.tls.handshake import server_names
from licensemaster.tls.pem import Pair
from licensemaster.values import address as parsed
from licensemaster.values.moments import minute_text

_CONNECT_SECONDS_MAX: Final = 2.0
_MOMENT_SECONDS: Final = 0.5
_GREETINGS_SECONDS: Final = 30.0
_VERIFY: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([a-zA-Z ]+)")
_TLS: Final = re.compile(r"(?:Tls|Ssl) handshake failed.*?OPENSSL_internal:([A-Z_]+)")
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "INVALID_SSL_RECORD")
_CLOSED: Final = re.compile(r"Socket closed|[Cc]onnection reset|Broken pipe|Handshake read failed|Stream removed")
_NOT_SIGNED: Final = ("issuer", "self signed", "first certificate", "signature failure")


class TlsFailureKind(Enum):
    """Why no TLS connection comes about."""

    PLAIN_TEXT = "plain_text"
    """The other side speaks no TLS."""
    TLS_WANTED = "tls_wanted"
    """The other side speaks only TLS."""
    AUTHORITY = "authority"
    """The master's certificate is signed by no authority that is trusted here."""
    NAME = "name"
    """The master's certificate is not for the name by which the master was called."""
    ENDED = "ended"
    NOT_BEGUN = "not_begun"
    NOT_SHOWN_FOR_MASTERS = "not_shown_for_masters"
    """The certificate is not good for servers."""
    REFUSED = "refused"
    """The master ended the connection when it saw the certificate of this side."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """Why there is no TLS connection; `message` is the text after the address, `remedy` says what to do."""

    kind: TlsFailureKind
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The certificate and authorities of this side, and the names of their settings."""

    pair: Pair | None
    """The certificate, key and authorities; None in plain text, or where they are not known."""
    is_secured: bool = True
    ca: str = "tls.ca"
    certificate: str = "tls.certificate"


def tls_failure(said: str, *, address: str, side: Side) -> TlsFailure | None:
    """Return the TLS failure behind gRPC's message of a failed connection; None where nothing points to TLS.

    Blocks for the time of a greeting, some seconds at most.
    """
    if "Hostname Verification Check failed" in said:
        return _wrong_name(address, _greet(address)[1])
    if verified := _VERIFY.search(said):
        return _not_believed(verified[1].strip(), _greet(address)[1], side, time.time())
    if handshake := _TLS.search(said):
        if handshake[1] in _PLAIN:
            return _PLAIN_TEXT
        seen = handshake[1].lower().replace("_", " ")
        return TlsFailure(TlsFailureKind.OTHER, f"TLS fails: {seen}", "look at the certificates of both sides")
    if not _CLOSED.search(said):
        return None
    speaks, _ = _greet(address)
    if not side.is_secured:
        return _TLS_WANTED if speaks else None
    if speaks is False:
        return _PLAIN_TEXT
    return _refused(side.pair, side) if speaks and side.pair and _is_turned_away(address, side.pair) else None


class Explainer:
    """Explains one client's failures: greets a master now and then only, and keeps nobody waiting for it."""

    def __init__(self, side: Callable[[], Side]) -> None:
        self._side = side
        self._asked: dict[tuple[str, str], tuple[float, asyncio.Future[TlsFailure | None]]] = {}
        self._reasons: dict[str, str] = {}

    @property
    def current(self) -> str | None:
        """The reasons for having no connection, of all addresses; None where there is no reason known."""
        return "; ".join(f"{address}: {said}" for address, said in sorted(self._reasons.items())) or None

    def answered(self, address: str) -> bool:
        """Note that an address has answered; return whether there was a known reason for having no connection."""
        return self._reasons.pop(address, None) is not None

    def knows_why_not(self, address: str) -> bool:
        """Tell whether it is known why no connection to an address comes about."""
        return address in self._reasons

    async def explain(self, said: str, address: str) -> str | None:
        """Return the cause behind gRPC's message; None where TLS is not the cause, or finding out takes over 0.5 s."""
        now = time.monotonic()
        asked = self._asked.get((address, said))
        if asked is None or now - asked[0] > _GREETINGS_SECONDS:
            self._asked = {
                key: greeting for key, greeting in self._asked.items() if now - greeting[0] <= _GREETINGS_SECONDS
            }
            work = functools.partial(tls_failure, said, address=address, side=self._side())
            asked = self._asked[address, said] = now, asyncio.ensure_future(asyncio.to_thread(work))
        done, _ = await asyncio.wait((asked[1],), timeout=_MOMENT_SECONDS)
        failure = asked[1].result() if done else None
        if failure is None:
            return None
        self._reasons[address] = f"{failure.message}; {failure.remedy}"
        return failure.message


_PLAIN_TEXT: Final = TlsFailure(
    TlsFailureKind.PLAIN_TEXT,
    "what listens there answers in plain text, and a certificate was shown",
    "give it certificates, or show none",
)
_TLS_WANTED: Final = TlsFailure(
    TlsFailureKind.TLS_WANTED,
    "what listens there speaks TLS; no certificate was shown, and it asks for one",
    "name a certificate, its key, and the authority that the master's is signed by",
)


def _wrong_name(address: str, certificate: x509.Certificate | None) -> TlsFailure:
    names = server_names(certificate) if certificate is not None else ()
    whose = f"is for {', '.join(names)}" if names else "is for other names"
    return TlsFailure(
        TlsFailureKind.NAME,
        f"the master's certificate {whose}, and it was called {_host(address)}",
        "call it by one of those names, or give it a certificate that has this one",
    )


def _not_believed(reason: str, certificate: x509.Certificate | None, side: Side, now: float) -> TlsFailure:
    if any(word in reason for word in _NOT_SIGNED):
        by = f"is signed by {_name(certificate.issuer)}" if certificate is not None else "is signed by another"
        believed = ", ".join(_name(authority.subject) for authority in side.pair.authorities) if side.pair else "others"
        return TlsFailure(
            TlsFailureKind.AUTHORITY,
            f"the master's certificate {by}, and {side.ca} has {believed}",
            f"name the authority of the master's certificate as {side.ca}; one of the same name may be an older one",
        )
    if reason in ("certificate has expired", "certificate is not yet valid"):
        return _out_of_time(reason, certificate, side.pair.authorities if side.pair else (), now)
    if "purpose" in reason:
        message = "the certificate of what listens there is not good for masters (serverAuth)"
        return TlsFailure(TlsFailureKind.NOT_SHOWN_FOR_MASTERS, message, "check that a master is meant")
    return TlsFailure(TlsFailureKind.OTHER, f"TLS does not take the master's certificate: {reason}", "renew it there")


def _out_of_time(
    reason: str, certificate: x509.Certificate | None, authorities: Sequence[x509.Certificate], now: float
) -> TlsFailure:
    has_ended = reason == "certificate has expired"
    named = [("the master's certificate", certificate)] if certificate is not None else []
    named += [(f"the certificate of the authority {_name(authority.subject)}", authority) for authority in authorities]
    said = "a certificate that the master's is signed by is out of its time"
    for whose, certificate in named:
        begins = certificate.not_valid_before_utc.timestamp()
        ends = certificate.not_valid_after_utc.timestamp()
        if has_ended and ends <= now:
            said = f"{whose} ended {minute_text(ends)}"
            break
        if not has_ended and begins > now:
            said = f"{whose} begins {minute_text(begins)}"
            break
    kind = TlsFailureKind.ENDED if has_ended else TlsFailureKind.NOT_BEGUN
    remedy = "renew it, or set this machine's clock" if has_ended else "set this machine's clock, or wait"
    return TlsFailure(kind, f"{said}, and here it is {minute_text(now)}", remedy)


def _refused(pair: Pair, side: Side) -> TlsFailure:
    own = pair.chain[0]
    until = minute_text(own.not_valid_after_utc.timestamp())
    shown = f" ({_name(own.subject)}, signed by {_name(own.issuer)}, good until {until})"
    return TlsFailure(
        TlsFailureKind.REFUSED,
        f"the master ended the connection when it saw the certificate{shown}",
        f"show one of an authority that the master has in its tls_ca_file as {side.certificate}; compare both clocks",
    )


def _greet(address: str) -> tuple[bool | None, x509.Certificate | None]:
    """Return whether the server at an address speaks TLS (None where unknown), and its certificate."""
    try:
        with _secured(address, _unverifying_context()) as secured:
            return True, x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    except ssl.SSLError as error:
        if error.reason is None or "EOF" in error.reason:  # it went away, and has said nothing
            return None, None
        return "ALERT" in error.reason, None
    except (OSError, ValueError):
        return None, None


def _is_turned_away(address: str, pair: Pair) -> bool:
    """Tell whether a master ends the connection as soon as it has seen the certificate, without sending a byte."""
    try:
        context = _unverifying_context()
        with tempfile.TemporaryDirectory(prefix="license-master-") as folder:  # Python takes a key from a file only
            path = Path(folder, "pair.pem")
            write_file(path, pair.key + pair.certificate)
            context.load_cert_chain(path)
        with _secured(address, context) as secured:
            return not secured.recv(1)
    except TimeoutError:
        return False
    except ssl.SSLError as error:
        return error.reason is not None and "ALERT" in error.reason
    except (OSError, ValueError):
        return False


def _unverifying_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is told to it, and nothing believed
    context.set_alpn_protocols(["h2"])
    return context


@contextmanager
def _secured(address: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    host, port = parsed(address.rpartition("/")[2])
    with (
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS_MAX) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        yield secured


def _host(address: str) -> str:
    return address.rpartition("/")[2].rpartition(":")[0] or address


def _name(name: x509.Name) -> str:
    return repr(name.rfc4514_string()[:80])
