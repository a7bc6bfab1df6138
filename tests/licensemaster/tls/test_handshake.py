"""Which certificates are of use to a master, or to who calls one; and files that are nearly certificates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from licensemaster.tls import handshake
from licensemaster.tls.pem import CertificateFilesError, NamedFile, Pair, read_pair
from tests.support.projects.certificates import FOR_CALLERS, FOR_SERVERS, KEYS, Made

_BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
_GOOD = {"P-256", "P-384", "RSA 2048"}


def _pair(made: Made, *others: Made, ca: Made) -> Pair:
    certificates = [made.certificate, *(other.certificate for other in others)]
    return Pair(made.pem + b"".join(other.pem for other in others), made.key, ca.pem, certificates, [ca.certificate])


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_good_that_tls_uses(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table and the handshake agree; RSA of 1024 bits is used by gRPC, and by nobody else any more."""
    ca = Made.authority()
    pair = _pair(Made.by(ca, key=key), ca=ca)
    for prove in (handshake.server_problem, handshake.caller_problem):
        assert (prove(pair) is None) == (key in _GOOD)
    monkeypatch.setattr(handshake, "_kind_of_key", lambda _: None)
    for prove in (handshake.server_problem, handshake.caller_problem):
        assert (prove(pair) is None) == (key in {*_GOOD, "RSA 1024"})


@pytest.mark.parametrize(
    ("make", "of_a_master", "of_a_caller"),
    [
        (lambda ca: Made.by(ca, days=(-9, -1)), "certificate has expired", "handshake"),
        (lambda ca: Made.by(ca, days=(1, 9)), "certificate is not yet valid", "handshake"),
        (lambda ca: Made.by(ca, good_for=FOR_CALLERS), "serverAuth", None),
        (lambda ca: Made.by(ca, good_for=FOR_SERVERS), None, "clientAuth"),
        (lambda ca: Made.by(ca, hosts=()), "names no host", None),
        (lambda ca: Made.by(ca, hosts=("*.example.com",)), None, None),
        (lambda ca: Made.by(), None, None),  # of an authority that callers may know
    ],
    ids=["ended", "not begun", "for callers", "for servers", "for no host", "for any host", "another's"],
)
def test_what_is_wrong_is_said(make: Callable[[Made], Made], of_a_master: str | None, of_a_caller: str | None) -> None:
    ca = Made.authority()
    pair = _pair(make(ca), ca=ca)
    for says, actual in ((of_a_master, handshake.server_problem(pair)), (of_a_caller, handshake.caller_problem(pair))):
        assert (says or "") in (actual or "")
        assert (says is None) == (actual is None), actual


def test_a_chain_is_followed() -> None:
    root = Made.authority(name="root")
    upper = Made.authority(root, name="upper")
    lower = Made.authority(upper, name="lower")
    own = Made.by(lower)
    assert "invalid CA" in (handshake.server_problem(_pair(*_signed_by_no_authority(root), ca=root)) or "")
    assert handshake.server_problem(_pair(own, lower, upper, ca=root)) is None
    assert handshake.server_problem(_pair(own, upper, lower, ca=root)) is None  # in the wrong order, which gRPC bears
    assert handshake.is_known_to(_pair(own, lower, upper, ca=root))
    assert not handshake.is_known_to(_pair(own, ca=root))  # those between are missing: told, not refused


@pytest.fixture
def files(tmp_path: Path) -> dict[str, NamedFile]:
    ca = Made.authority()
    made = Made.by(ca)
    collected = {name: NamedFile(name, tmp_path / name) for name in ("certificate", "key", "ca")}
    collected["certificate"].path.write_bytes(made.pem)
    collected["key"].path.write_bytes(made.key)
    collected["ca"].path.write_bytes(ca.pem)
    return collected


@pytest.mark.parametrize(
    "written",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"subject=/CN=somebody\n\n" + data + b"\n\n# the end\n",
        lambda data: data.decode().encode("utf-16"),
    ],
    ids=["byte order mark", "CRLF", "text around", "UTF-16"],
)
def test_what_editors_add_counts_for_nothing(files: dict[str, NamedFile], written: Callable[[bytes], bytes]) -> None:
    for file in files.values():
        file.path.write_bytes(written(file.path.read_bytes()))
    assert handshake.server_problem(read_pair(**files)) is None


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("certificate", lambda made, _: made.certificate.public_bytes(Encoding.DER), "it looks like DER"),
        ("key", lambda made, _: _with_password(made), "has a password"),
        ("key", lambda _, data: b"", "it is empty"),
        ("key", lambda made, _: made.pem, "but 'certificate'"),
        ("certificate", lambda made, _: made.key, "but 'private key'"),
        ("certificate", lambda made, data: made.pem + data, "must come first"),
        ("ca", lambda made, data: data + _BROKEN + made.pem, "its certificate 2 of 3 is damaged"),
        ("ca", lambda _, data: data + data[:100], "its certificate 2 was cut off"),
        ("ca", lambda _, data: b"x" * 5_000_000, "larger than 4 MiB"),
    ],
    ids=["DER", "password", "empty", "no key", "no certificate", "order", "one bad of many", "cut off", "huge"],
)
def test_what_is_wrong_with_a_file_is_said(
    files: dict[str, NamedFile], file: str, damage: Callable[[Made, bytes], bytes], says: str
) -> None:
    path = files[file].path
    path.write_bytes(damage(Made.by(Made.authority()), path.read_bytes()))
    with pytest.raises(CertificateFilesError, match=says) as refused:
        read_pair(**files)
    assert str(path) in str(refused.value)


def _with_password(made: Made) -> bytes:
    pem: bytes = made.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    return pem


def _signed_by_no_authority(root: Made) -> tuple[Made, Made]:
    between = Made.by(root, name="between")
    return Made.by(between), between
