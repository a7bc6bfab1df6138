"""Certifies releases for the PBX's own device as soon as the master asks (rule L2): nobody has to carry documents.

Decides: each request is certified once, and handed in until the master has it; what failed is tried again when the
master repeats its request. A request that is not genuine, or not this device's, is not signed and a notice says so.
Leaves to others: what a device may sign (`device_key`), and whether seats are still in use (the master).

The key's folder is read and written on a thread, and nothing waits for any of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from licensemaster.signing.device_key import DeviceKey, DeviceKeyError
from licensemaster.signing.documents import DocumentError
from licensemaster.v1 import document_pb2, license_pb2
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.connection.masters import Masters
from slave_client.values.config import ConfigError
from slave_client.values.notices import NoticeBoard, NoticeKind


class Certifier:
    """Answers release requests for one client; does nothing without a device's folder."""

    def __init__(self, *, device_dir: Path | None, masters: Masters, board: NoticeBoard) -> None:
        self._device_dir = device_dir
        self._masters = masters
        self._board = board
        self._waiting: dict[bytes, document_pb2.SignedDocument] = {}
        self._handed_in: set[bytes] = set()
        self._problems: dict[bytes, str] = {}
        self._under_way = b""
        self._working: asyncio.Task[None] | None = None

    async def check_device(self) -> None:
        """Check at the start that the device's folder can be used; raises ConfigError."""
        if self._device_dir is not None:
            try:
                await asyncio.to_thread(DeviceKey.load, self._device_dir)
            except DeviceKeyError as failure:
                raise ConfigError(f"device_dir: {failure}") from failure

    def asked(self, requests: Sequence[document_pb2.SignedDocument]) -> None:
        """Note the release requests that hold now, and begin to certify those that were not certified yet."""
        if self._device_dir is None:
            return
        asked = {request.SerializeToString(deterministic=True): request for request in requests}
        self._handed_in &= asked.keys()
        self._problems = {name: problem for name, problem in self._problems.items() if name in asked}
        done = self._handed_in | {self._under_way}
        self._waiting = {name: request for name, request in asked.items() if name not in done}
        if self._working is None:
            if self._waiting:
                self._working = asyncio.create_task(self._work(self._device_dir))
            else:
                self._show_problems()

    async def stop(self) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.cancel()
            await asyncio.wait((working,))

    async def _work(self, device_dir: Path) -> None:
        try:
            while self._waiting:
                self._under_way, request = self._waiting.popitem()
                self._problems.pop(self._under_way, None)
                await self._certify(device_dir, self._under_way, request)
                self._under_way = b""
            self._show_problems()
        finally:
            self._working = None
            self._under_way = b""

    async def _certify(self, device_dir: Path, name: bytes, request: document_pb2.SignedDocument) -> None:
        try:
            certificate = await asyncio.to_thread(_certificate, device_dir, request)
            await self._masters.submit_certificate(license_pb2.SubmitCertificateRequest(certificate=certificate))
        except (DocumentError, DeviceKeyError, OSError) as failure:
            self._problems[name] = str(failure)
        except MasterError as failure:
            if failure.reason == _REPLAYED:
                self._handed_in.add(name)  # an earlier answer was lost, or somebody else was faster
            elif failure.kind in (FailureKind.DENIED, FailureKind.REJECTED):
                self._problems[name] = f"{self._masters.address} does not take the certificate: {failure}"
        else:
            self._handed_in.add(name)

    def _show_problems(self) -> None:
        if self._problems:
            message = "; ".join(sorted(self._problems.values()))
            self._board.raise_own(NoticeKind.CERTIFICATE_NOT_GIVEN, f"a release is not certified: {message}")
        else:
            self._board.clear_own(NoticeKind.CERTIFICATE_NOT_GIVEN)


def _certificate(device_dir: Path, request: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    return DeviceKey.load(device_dir).certify(request)


_REPLAYED = "DOCUMENT_REPLAYED"
