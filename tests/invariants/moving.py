"""Random moves of licenses, in the same histories as all else that happens: imported, bound, released, certified.

Every answer must be the model's, and after every step a license is where the model has it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, license_pb2
from tests.invariants.arena import PRINTED, Arena
from tests.invariants.balance import BOXES, Key, ModelLicense, ModelRelease
from tests.invariants.model.model import Model
from tests.invariants.model.values import TTL_SECONDS
from tests.support.databases.truth import reason_of
from tests.support.masters import InProcess

T = TypeVar("T")
CERTIFICATE = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
LICENSES_MAX = 6
BUSY = ("berlin", "vm", "paris")
"""PBXs that use much."""
OPERATORS = ("anna", "ben")
masters = st.integers(0, 1)
boxes = st.sampled_from(BOXES)
targets = st.sampled_from(("", "", "", *BOXES))
pressures = st.sampled_from([*license_pb2.InUse.values()][1:])
numbers = st.integers(0, LICENSES_MAX)
"""Which license, counted round; one more than there are is a license that is not there."""


class Moving(RuleBasedStateMachine):
    """Operators and devices that do anything in any order."""

    arena: Arena
    project: str
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[document_pb2.ReleaseRequest] = []
        """All that devices were ever asked to certify."""
        self.file: document_pb2.SignedDocument | None = None
        self.again: tuple[Callable[[], Awaitable[Any]], Any] | None = None
        """The last move, to be sent once more, and what it was answered with."""

    def _hand_on(self) -> None:
        raise NotImplementedError

    def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        raise NotImplementedError

    def _master(self, at: int) -> InProcess:
        raise NotImplementedError

    def _acquire(self, pbx: str, at: int, keys: list[Key]) -> None:
        raise NotImplementedError

    def _give_back(self, pbx: str, at: int, keys: list[Key]) -> None:
        raise NotImplementedError

    def _open(self, pbx: str, request_id: str, at: int) -> None:
        raise NotImplementedError

    def _advance(self, seconds: int) -> None:
        raise NotImplementedError

    @initialize(
        kinds=st.tuples(st.sampled_from(("port", "uc", "mypbx")), st.just("port")),
        version=st.sampled_from((12, 12, 12, 13, 11, 7)),
        device=st.sampled_from(("hq-box", "hq-box", "paris-box")),
    )
    def begin_with_some(self, kinds: tuple[str, str], version: int, device: str) -> None:
        for number, kind in enumerate(kinds):
            self._import(0, (kind, 2), version=12 if number else version)
            self.bind(number, "hq-box" if number else device, at=0)

    # --- Arriving ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.licenses) < LICENSES_MAX)
    @rule(
        at=masters,
        kind=st.sampled_from(("port", "uc", "mypbx")),
        quantity=st.integers(1, 3),
        version=st.sampled_from((12, 12, 13, 11, 7)),
    )
    def import_one(self, at: int, kind: str, quantity: int, version: int) -> None:
        self._import(at, (kind, quantity), version=version)

    @rule(at=masters)
    def import_again(self, at: int) -> None:
        assert self.file is not None
        request = license_pb2.ImportLicensesRequest(project=f"projects/{self.project}", file=self.file)
        assert self._call(lambda: self._licenses(at).ImportLicenses(request)).already_imported

    # --- Operators --------------------------------------------------------------------------------------------------

    @rule(number=numbers, device=boxes, at=masters)
    def bind(self, number: int, device: str, at: int) -> None:
        name = self._name_of(number)
        request = license_pb2.BindLicensesRequest(**self._named(name), device=device)
        result = self._moved(lambda: self._licenses(at).BindLicenses(request))
        known = name in self.model.licenses
        assert result.HasField("moved") is (known and self.model.bind(name, device))

    @rule(
        number=numbers, in_use=pressures, to=targets, dead=st.integers(0, 3), by=st.sampled_from(OPERATORS), at=masters
    )
    def release(self, number: int, in_use: int, to: str, dead: int, by: str, at: int) -> None:
        name = self._name_of(number)
        is_dead = dead == 0 and not to
        request = license_pb2.ReleaseLicensesRequest(
            **self._named(name), in_use=license_pb2.InUse.ValueType(in_use), to_device=to, device_dead=is_dead
        )
        metadata = (("caller", by),)
        if name in self.model.licenses:
            trying = license_pb2.ReleaseLicensesRequest()
            trying.CopyFrom(request)
            trying.dry_run = True
            tried = self._call(lambda: self._licenses(at).ReleaseLicenses(trying, metadata=metadata)).results[0]
        result = self._moved(lambda: self._licenses(at).ReleaseLicenses(request, metadata=metadata))
        if name not in self.model.licenses:
            assert result.HasField("refused")
            return
        license = self.model.licenses[name]
        asked = ModelRelease(in_use, to, is_dead, by)
        if result.moved.HasField("release") and license.release is None:
            asked.nonce = self._note(result.moved.release.request)
        taken = self.model.release(name, asked)
        assert result.HasField("moved") is (taken is not None)
        assert (result.seats_revoked, result.seats_at_risk) == (taken or (0, 0))
        assert (tried.seats_revoked, tried.seats_at_risk, tried.HasField("moved")) == (
            result.seats_revoked,
            result.seats_at_risk,
            result.HasField("moved"),
        )

    @rule(
        number=numbers,
        in_use=pressures,
        to=targets,
        at=masters,
        connected=st.lists(st.sampled_from(BUSY), max_size=2, unique=True),
        data=st.data(),
    )
    def release_while_in_use(
        self, number: int, in_use: int, to: str, at: int, connected: list[str], data: st.DataObject
    ) -> None:
        """Everybody has what there is; some fall silent; a license goes, and everybody asks for more."""
        ports = [("port", f"user-{number}") for number in range(3)]
        users = [("uc", "anna"), ("mypbx", "ben"), ("video", "ben")]
        for turn, pbx in enumerate(BUSY):
            self._acquire(pbx, at, data.draw(st.sampled_from((ports, users, ports + users)), label=f"{pbx} {turn}"))
        if len(connected) < 2:
            self._advance(TTL_SECONDS + 1)
        for pbx in connected:
            self._open(pbx, str(uuid4()), at)
        self.release(number, in_use, to, dead=1, by="anna", at=at)
        for pbx in BUSY:
            self._acquire(pbx, at, [*ports, ("port", "more-1"), ("port", "more-2")])
        certified: bool = data.draw(st.booleans(), label="certified")
        if self.asked and certified:
            for signer in ("rome-box", "right"):
                self.certify(data, newest=True, at=at, signer=signer)
        for pbx in connected:
            self._give_back(pbx, at, sorted(self.model.revoked[pbx]) or ports)
        self.look_round(at)

    @rule(number=numbers, at=masters)
    def cancel(self, number: int, at: int) -> None:
        name = self._name_of(number)
        request = license_pb2.CancelReleasesRequest(**self._named(name))
        result = self._moved(lambda: self._licenses(at).CancelReleases(request))
        known = name in self.model.licenses
        assert result.HasField("moved") is (known and self.model.cancel(name))

    @rule(number=numbers, by=st.sampled_from(OPERATORS), at=masters)
    def approve(self, number: int, by: str, at: int) -> None:
        name = self._name_of(number)
        request = license_pb2.ApproveReleasesRequest(**self._named(name))
        result = self._moved(lambda: self._licenses(at).ApproveReleases(request, metadata=(("caller", by),)))
        known = name in self.model.licenses
        assert result.HasField("moved") is (known and self.model.approve(name, by))

    @precondition(lambda self: self.again is not None)
    @rule()
    def repeat_the_move(self) -> None:
        """Its answer was lost: the same outcome again, and the model knows of nothing more."""
        assert self.again is not None
        call, answer = self.again
        again = self._call(call).results[0]
        assert again.WhichOneof("outcome") == answer.WhichOneof("outcome")
        assert (again.seats_revoked, again.seats_at_risk) == (answer.seats_revoked, answer.seats_at_risk)
        assert again.refused == answer.refused

    # --- Devices ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), newest=st.booleans(), at=masters, signer=st.sampled_from(("right", "right", *BOXES)))
    def certify(self, data: st.DataObject, newest: bool, at: int, signer: str) -> None:
        """What was asked for now, or any time before; by the device itself, or another one in its name."""
        asked = self.asked[-1] if newest else data.draw(st.sampled_from(self.asked))
        device = asked.binding.device.rpartition("/")[2]
        said = document_pb2.SecurityCertificate(
            device=asked.binding.device,
            license=asked.binding.license,
            number=asked.binding.number,
            nonce=asked.nonce,
        )
        key = self.arena.device_keys[device if signer == "right" else signer]
        request = license_pb2.SubmitCertificateRequest(certificate=documents.sign(CERTIFICATE, said, key))
        genuine = signer in ("right", device)
        license = self.model.licenses[asked.binding.license]
        if genuine and license.release is not None and license.release.nonce == asked.nonce:
            self._call(lambda: self._licenses(at).SubmitCertificate(request))
            self.model.certify(asked.binding.license)
        elif genuine and license.last_nonce == asked.nonce:
            self._call(lambda: self._licenses(at).SubmitCertificate(request))
            license.held_until = 0.0  # it came late
        else:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                self._call(lambda: self._licenses(at).SubmitCertificate(request))
            assert reason_of(failed.value) in ("DOCUMENT_REPLAYED", "DOCUMENT_OTHER_DEVICE")

    @rule(at=masters)
    def look_round(self, at: int) -> None:
        self._hand_on()
        self.arena.run(self._master(at).running.licenses.complete_releases())
        self.model.look()

    # --- What must always hold --------------------------------------------------------------------------------------

    @invariant()
    def every_license_is_where_it_should_be(self) -> None:
        request = license_pb2.ListLicensesRequest(project=f"projects/{self.project}", page_size=1000)
        listed = self._call(lambda: self._licenses(1).ListLicenses(request)).licenses
        collected = {
            each.license: (
                each.license_type,
                each.quantity,
                license_pb2.LicenseState.Name(each.state).removeprefix("LICENSE_STATE_"),
                each.device,
                each.binding,
                each.first_bind_time.seconds,
                (each.release.in_use, each.release.to_device, each.release.certified, each.release.seats_to_go),
            )
            for each in listed
            if each.origin == license_pb2.LICENSE_ORIGIN_IMPORTED
        }
        assert collected == {name: self._as_listed(license) for name, license in self.model.licenses.items()}

    def _as_listed(self, license: ModelLicense) -> tuple[object, ...]:
        state = "COOLING_OFF" if self.model.now < license.held_until else "FREE"
        release: tuple[object, ...] = (0, "", False, 0)
        if license.device:
            state = "BOUND"
        if license.release is not None:
            state = "RELEASING"
            release = (
                license.release.in_use,
                license.release.to_device,
                license.release.certified,
                self.model.seats_to_go(license),
            )
        return (
            license.kind,
            license.quantity,
            state,
            license.device,
            license.binding,
            int(license.first_bound or 0),
            release,
        )

    # --- The wire ---------------------------------------------------------------------------------------------------

    def _import(self, at: int, *items: tuple[str, int], version: int = 12) -> None:
        first = len(self.model.licenses)
        named = {f"l-{first + number}": what for number, what in enumerate(items)}
        self.file = self.arena.vendor.issue(
            {name: (PRINTED[kind].replace("12", str(version)), quantity) for name, (kind, quantity) in named.items()},
            now=self.arena.clock.now,
            project=self.project,
        )
        request = license_pb2.ImportLicensesRequest(project=f"projects/{self.project}", file=self.file)
        assert not self._call(lambda: self._licenses(at).ImportLicenses(request)).already_imported
        self.model.licenses |= {name: ModelLicense(kind, quantity, version) for name, (kind, quantity) in named.items()}

    def _note(self, request: document_pb2.SignedDocument) -> bytes:
        asked = document_pb2.ReleaseRequest.FromString(request.payload)
        self.asked.append(asked)
        return asked.nonce

    def _moved(self, call: Callable[[], Awaitable[Any]]) -> license_pb2.MoveResult:
        (result,) = self._call(call).results
        assert isinstance(result, license_pb2.MoveResult)
        self.again = call, result
        return result

    def _name_of(self, number: int) -> str:
        return f"l-{number % (len(self.model.licenses) + 1)}"

    def _named(self, name: str) -> dict[str, Any]:
        return {"project": f"projects/{self.project}", "licenses": [name], "request_id": str(uuid4())}

    def _licenses(self, at: int) -> Any:
        return self._master(at).wire.licenses
