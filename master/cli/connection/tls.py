"""TLS between a command and a master: the certificate that the command line names, checked before it is shown."""

from __future__ import annotations

import time
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from master.cli.connection.profiles import source_of
from master.cli.output.failure import CommandFailed
from master.values import Value

if TYPE_CHECKING:
    from licensemaster.tls.pem import Pair


class TlsOptions(Value):
    """A command's certificate and key, and the authority that it trusts: three PEM files, or none for plain text."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


tls_options: ContextVar[TlsOptions] = ContextVar("tls_options", default=TlsOptions())  # noqa: B039  # frozen
"""TLS options of the command that runs."""


def pair_to_show() -> Pair | None:
    """Return the certificate and key that the command line names, to show to a master; None for plain text.
    Raises CommandFailed if one of the three files is missing, cannot be read, or does not fit the others, and names the
    file."""
    given = tls_options.get()
    files = {"tls_ca": given.ca, "tls_key": given.key, "tls_certificate": given.certificate}
    if not any(files.values()):
        return None
    if missing := [f"--{name.replace('_', '-')}" for name, path in files.items() if path is None]:
        raise CommandFailed(
            f"{', '.join(missing)}: not given",
            lines=[f"{source_of(name)}: {path}" for name, path in files.items() if path is not None],
            remedy="name all three, or none to a master that serves plain text",
        )
    from licensemaster.tls import handshake
    from licensemaster.tls.pem import CertificateFilesError, NamedFile, read_pair
    from licensemaster.values.moments import minute_text

    ca, key, certificate = (NamedFile(source_of(name), path) for name, path in files.items() if path is not None)
    try:
        pair, now = read_pair(certificate, key, ca), time.time()
        if pair.ends_at <= now:
            ended = f"ended {minute_text(pair.ends_at)}, and here it is {minute_text(now)}"
            raise certificate.wrong(f"{ended}; ask whoever runs the authority for a new one, or set the clock")
        if pair.begins_at > now:
            begins = f"begins {minute_text(pair.begins_at)}, and here it is {minute_text(now)}"
            raise certificate.wrong(f"{begins}; set the clock, or wait")
        if problem := handshake.caller_problem(pair):
            raise certificate.wrong(f"{problem}; ask whoever runs the authority for another one")
    except CertificateFilesError as error:
        raise CommandFailed(str(error)) from error
    return pair
