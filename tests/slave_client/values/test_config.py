"""What is wrong with a configuration is said at once, by field, value and remedy, and is no matter of masters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slave_client import BlockingSlaveClient, ConfigError, Notice, NoticeKind, SlaveClient, State, TlsFiles
from tests.slave_client.conftest import client_config
from tests.support.limits import HANG_SECONDS
from tests.support.projects.certificates import FOR_SERVERS, Made


def test_an_address_is_read_as_it_is_meant_or_refused() -> None:
    assert client_config(" license-master:7600\n").addresses == ("license-master:7600",)
    with pytest.raises(ConfigError, match="addresses: no port in 'license-master'"):
        client_config("a:1", addresses=("a:1", "license-master"))


def test_one_text_is_no_list_of_addresses() -> None:
    with pytest.raises(ConfigError, match=r"write addresses=\('license-master:7600',\)"):
        client_config("a:1", addresses="license-master:7600")


def _files(folder: Path, made: Made, ca: Made) -> TlsFiles:
    tls = TlsFiles(ca=folder / "ca.crt", certificate=folder / "pbx.crt", key=folder / "pbx.key")
    for path, data in ((tls.ca, ca.pem), (tls.certificate, made.pem), (tls.key, made.key)):
        path.write_bytes(data)
    return tls


_WRONG: dict[str, tuple[Callable[[TlsFiles], object], str]] = {
    "no key": (
        lambda tls: tls.key.rename(tls.ca.parent / "elsewhere"),
        "tls.key: .*pbx.key: cannot be read",
    ),
    "no CA": (lambda tls: tls.ca.write_bytes(b"none"), "tls.ca: .*holds no certificate in PEM"),
    "another key": (lambda tls: tls.key.write_bytes(Made.by().key), "tls.key: .*is not the key of"),
    "Ed25519": (lambda tls: _files(tls.ca.parent, *_made(key="Ed25519")), "tls.certificate: .*its key is Ed25519"),
    "for servers": (lambda tls: _files(tls.ca.parent, *_made(good_for=FOR_SERVERS)), "tls.certificate: .*clientAuth"),
}


def _made(**what: object) -> tuple[Made, Made]:
    ca = Made.authority()
    return Made.by(ca, **what), ca  # type: ignore[arg-type]


@pytest.mark.parametrize("what", _WRONG)
async def test_files_that_cannot_be_used_are_an_error_at_the_start(tmp_path: Path, what: str) -> None:
    tls = _files(tmp_path, *_made())
    damage, says = _WRONG[what]
    damage(tls)
    config = client_config("127.0.0.1:1", tls=tls, state_dir=tmp_path / "state")
    for _ in range(2):  # and the folder is free again
        with pytest.raises(ConfigError, match=says):
            await SlaveClient(config).start()
    with pytest.raises(ConfigError, match=says):
        BlockingSlaveClient(config).__enter__()


@pytest.mark.parametrize(("days", "says"), [((-9.0, -1.0), "ended "), ((1.0, 9.0), "begins ")])
async def test_a_certificate_that_is_out_of_its_time_keeps_no_pbx_from_starting(
    tmp_path: Path, days: tuple[float, float], says: str
) -> None:
    """What it holds by its lease it may use, whatever the date or the clock."""
    notices: list[Notice] = []
    config = client_config("127.0.0.1:1", tls=_files(tmp_path, *_made(days=days)))
    async with SlaveClient(config, on_notice=notices.append) as client:
        await client.wait_for_state(State.STARTING, timeout_seconds=HANG_SECONDS)
        [notice] = [each for each in notices if each.kind is NoticeKind.CERTIFICATE_UNUSABLE]
        assert says in notice.message
