"""Whether an authority that is believed stands behind a certificate: judged by our own code too, not by TLS alone.

gRPC looks at a chain once, when a connection begins; it takes some that their root forbids, and knows of no revocation.
Here every certificate up to the root is judged: who signed it, whether that one may, how deep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

from cryptography import x509

from licensemaster.tls.pem import is_issued_by

_DEPTH_MAX = 8
_SHOWN_MAX = 8
_PATHS_MAX = 16
"""How many paths are looked at for one caller: certificates can be made that lead up in very many ways."""


class ChainError(ValueError):
    """No trusted authority stands behind a certificate; the text says why."""


def path_of(shown: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return a certificate and its signers, as far as they are known; one of them is a trusted authority.

    `shown` is the certificate, then what came with it.
    Raises ChainError if there is no such path, or one of its certificates may not sign the one before it.
    """
    problem = "none of the authorities that are believed here stands behind it"
    # an older one was made anew
    believed = sorted(authorities, key=lambda certificate: certificate.not_valid_after_utc, reverse=True)
    for path in islice(_paths((shown[0],), [*believed, *shown[1:_SHOWN_MAX]]), _PATHS_MAX):
        if not any(certificate in authorities for certificate in path):
            continue
        broken = _problem(path)
        if broken is None:
            return path
        problem = broken
    raise ChainError(problem)


def _paths(
    path: tuple[x509.Certificate, ...], known: Sequence[x509.Certificate]
) -> Iterator[tuple[x509.Certificate, ...]]:
    """Yield every path of signers that cannot be extended further."""
    issuers = [certificate for certificate in known if certificate not in path and is_issued_by(path[-1], certificate)]
    if not issuers or len(path) > _DEPTH_MAX:
        yield path
        return
    for issuer in issuers:
        yield from _paths((*path, issuer), known)


def _problem(path: Sequence[x509.Certificate]) -> str | None:
    """Return why one of the signers of a path may not have signed; None where all may."""
    if len(path) > _DEPTH_MAX:
        return f"more than {_DEPTH_MAX} authorities stand above it"
    below = 0
    """Authorities between the certificate and the signer, those not counted that signed for themselves (RFC 5280)."""
    for signer in path[1:]:
        problem, below_max, is_its_own_issuer = _signer(signer)
        if problem is not None:
            return f"{_name(signer)} {problem}"
        if below_max is not None and below > below_max:
            return f"{_name(signer)} allows {below_max} authorities below it, and there are {below}"
        below += not is_its_own_issuer
    return None


@lru_cache(maxsize=100)
def _signer(signer: x509.Certificate) -> tuple[str | None, int | None, bool]:
    """Return why a signer may not sign, how many authorities it allows below it, and whether it signed for itself.

    The result is kept, as the same authorities stand behind all callers that connect at about the same time.
    """
    is_its_own_issuer, below_max = signer.issuer == signer.subject, None
    try:
        limits = signer.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_authority, below_max = limits.ca, limits.path_length
    except x509.ExtensionNotFound:
        is_authority = is_its_own_issuer  # roots of old have none
    try:
        may_sign = signer.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        may_sign = True
    problem = None
    if not is_authority:
        problem = "signed it and is no authority"
    elif not may_sign:
        problem = "signed it and may sign no certificates"
    return problem, below_max, is_its_own_issuer


def _name(signer: x509.Certificate) -> str:
    return signer.subject.rfc4514_string()[:200]
