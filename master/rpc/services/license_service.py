"""LicenseService: what operators call to move licenses, and devices to certify that they no longer use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import Message

from licensemaster.v1 import document_pb2, license_pb2_grpc
from licensemaster.v1 import license_pb2 as api
from master.auth.callers.permissions import check_confined
from master.rpc.admission.authorizer import identity_of_call, proven_pbx
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.context import Context
from master.rpc.convert import incoming, signed_documents
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import timestamp
from master.rpc.repeatable import Repeatable
from master.service.licenses.documents import DocumentProblem, DocumentRefusedError
from master.service.licenses.licenses import Licenses
from master.service.licenses.moves import ApproveReleases, BindLicenses, CancelReleases, MovedAll, ReleaseLicenses
from master.signing import Signer
from master.values import replace

_LICENSES_MAX = 1000
_WOULD_BE = signed_documents.SignedDocuments(None)
"""Documents of dry runs, without a signer: a change that was not made is not certified."""


class LicenseService(license_pb2_grpc.LicenseServiceServicer):
    def __init__(self, licenses: Licenses, *, signer: Signer, clock: Callable[[], float]) -> None:
        self._licenses = licenses
        self._documents = signed_documents.SignedDocuments(signer)
        self._clock = clock

    # --- Licenses ---------------------------------------------------------------------------------------------------

    async def ImportLicenses(self, request: api.ImportLicensesRequest, context: Context) -> api.ImportLicensesResponse:
        project = incoming.project_name(request.project)
        signed_documents.check_kind(request.file, document_pb2.DOCUMENT_KIND_LICENSE_FILE)
        key = await self._licenses.vendor_key(project, request.file.key_id)
        file = signed_documents.license_file(request.file, key.public_key)
        imported = await self._licenses.import_licenses(
            project, file, caller=caller_of_call.get(), reason=incoming.reason(request.reason)
        )
        views = await self._licenses.view(project, list(imported.items))
        return api.ImportLicensesResponse(
            file=imported.file,
            already_imported=imported.already_imported,
            licenses=[self._documents.license_status(project, view) for view in views],
        )

    async def ListLicenses(self, request: api.ListLicensesRequest, context: Context) -> api.ListLicensesResponse:
        size = incoming.page_size(request.page_size, default=100)
        project = incoming.project_name(request.project)
        views = await self._licenses.list_licenses(
            project,
            device=incoming.optional_text("device", request.device),
            license_type=incoming.optional_text("license_type", request.license_type),
            after=incoming.optional_text("page_token", request.page_token),
            limit=size,
        )
        statuses = [self._documents.license_status(project, view) for view in views]
        return api.ListLicensesResponse(
            licenses=[status for status in statuses if not request.state or status.state == request.state],
            next_page_token=views[-1].license.id if len(views) == size else "",
        )

    async def BindLicenses(self, request: api.BindLicensesRequest, context: Context) -> api.BindLicensesResponse:
        repeatable = self._repeatable(request, api.BindLicensesResponse)
        fields = _move_fields(request, repeatable)
        asked = BindLicenses(**fields, device=incoming.text("device", request.device))
        return repeatable.response(await self._licenses.move(asked))

    async def ReleaseLicenses(
        self, request: api.ReleaseLicensesRequest, context: Context
    ) -> api.ReleaseLicensesResponse:
        to_device = incoming.optional_text("to_device", request.to_device)
        if to_device and request.device_dead:
            reason = "what a dead device held has to wait in the balance; bind it after the cooling-off"
            raise InvalidArgumentError("to_device", reason)
        repeatable = self._repeatable(request, api.ReleaseLicensesResponse)
        asked = ReleaseLicenses(
            **_move_fields(request, repeatable),
            in_use=signed_documents.in_use(request.in_use),
            to_device=to_device,
            device_dead=request.device_dead,
        )
        return repeatable.response(await self._licenses.move(asked))

    async def CancelReleases(self, request: api.CancelReleasesRequest, context: Context) -> api.CancelReleasesResponse:
        repeatable = self._repeatable(request, api.CancelReleasesResponse)
        return repeatable.response(await self._licenses.move(CancelReleases(**_move_fields(request, repeatable))))

    async def ApproveReleases(
        self, request: api.ApproveReleasesRequest, context: Context
    ) -> api.ApproveReleasesResponse:
        repeatable = self._repeatable(request, api.ApproveReleasesResponse)
        return repeatable.response(await self._licenses.move(ApproveReleases(**_move_fields(request, repeatable))))

    def _repeatable(self, request: MoveRequest, response: type[MoveResponse]) -> Repeatable[MovedAll, MoveResponse]:
        def moved(answer: MovedAll) -> MoveResponse:
            project = incoming.project_name(request.project)
            documents = _WOULD_BE if _is_dry_run(request) else self._documents
            results = [
                documents.move_result(project, result, answer.views.get(result.license_id)) for result in answer.results
            ]
            make: Callable[..., MoveResponse] = response
            warns = "warnings" in response.DESCRIPTOR.fields_by_name
            return make(results=results, warnings=answer.warnings) if warns else make(results=results)

        return Repeatable(request, response, moved)

    async def SubmitCertificate(
        self, request: api.SubmitCertificateRequest, context: Context
    ) -> api.SubmitCertificateResponse:
        document = request.certificate
        signed_documents.check_kind(document, document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE)
        identity = identity_of_call.get()
        own = identity.project if identity is not None else None
        if own is not None:  # so that no answer shows which keys other projects have
            check_confined(identity, signed_documents.certified_project(document))
        known = await self._licenses.devices_with_key(document.key_id) if document.key_id.isprintable() else []
        keys = sorted({key for project, _, key in known if own in (None, project)})
        if not keys:
            raise DocumentRefusedError(DocumentProblem.UNKNOWN_KEY, f"no device enrolled key {document.key_id[:80]!r}")
        certificate = replace(signed_documents.certificate(document, keys[0]), handed_in_by=proven_pbx())
        license = await self._licenses.certify(certificate, caller=caller_of_call.get())
        view = (await self._licenses.view(certificate.project, [license]))[0]
        bound = license.device is not None and license.release is None
        return api.SubmitCertificateResponse(
            license=self._documents.license_status(certificate.project, view),
            binding=self._documents.binding(certificate.project, license) if bound else None,
        )

    # --- Vendors' keys ----------------------------------------------------------------------------------------------

    async def TrustVendorKey(self, request: api.TrustVendorKeyRequest, context: Context) -> api.TrustVendorKeyResponse:
        project, reason = incoming.project_name(request.project), incoming.reason(request.reason)
        match request.WhichOneof("source"):
            case "key":
                asked = signed_documents.named_key(request.key)
            case "introduction":
                signed_documents.check_kind(request.introduction, document_pb2.DOCUMENT_KIND_VENDOR_KEY)
                key = await self._licenses.vendor_key(project, request.introduction.key_id)
                asked = signed_documents.introduction(request.introduction, key.public_key)
            case _:
                raise InvalidArgumentError("source", "send a key, or a document that introduces one")
        incoming.optional_text("display_name", asked.display_name)
        trusted = await self._licenses.trust_key(project, asked, caller=caller_of_call.get(), reason=reason)
        return api.TrustVendorKeyResponse(key=signed_documents.trusted_key(trusted))

    async def DistrustVendorKey(
        self, request: api.DistrustVendorKeyRequest, context: Context
    ) -> api.DistrustVendorKeyResponse:
        key = await self._licenses.distrust_key(
            incoming.project_name(request.project),
            incoming.text("key_id", request.key_id),
            caller=caller_of_call.get(),
            reason=incoming.reason(request.reason),
        )
        return api.DistrustVendorKeyResponse(key=signed_documents.trusted_key(key))

    async def ListVendorKeys(self, request: api.ListVendorKeysRequest, context: Context) -> api.ListVendorKeysResponse:
        vendor_keys = await self._licenses.vendor_keys(incoming.project_name(request.project))
        return api.ListVendorKeysResponse(keys=[signed_documents.trusted_key(key) for key in vendor_keys])

    # --- Devices' keys ----------------------------------------------------------------------------------------------

    async def CreateEnrollment(
        self, request: api.CreateEnrollmentRequest, context: Context
    ) -> api.CreateEnrollmentResponse:
        project, device = signed_documents.device_name(request.device)
        token, ends_at = await self._licenses.open_enrollment(
            project, device, caller=caller_of_call.get(), reason=incoming.reason(request.reason)
        )
        return api.CreateEnrollmentResponse(token=token, expire_time=timestamp(ends_at))

    async def EnrollDevice(self, request: api.EnrollDeviceRequest, context: Context) -> api.EnrollDeviceResponse:
        enrollment = replace(signed_documents.enrollment(request.enrollment), handed_in_by=proven_pbx())
        check_confined(identity_of_call.get(), enrollment.project)
        await self._licenses.enroll(enrollment, caller=caller_of_call.get())
        return api.EnrollDeviceResponse(answer=self._documents.enrollment_answer(enrollment))

    async def ListDevices(self, request: api.ListDevicesRequest, context: Context) -> api.ListDevicesResponse:
        stored_devices = await self._licenses.devices(incoming.project_name(request.project))
        return api.ListDevicesResponse(devices=signed_documents.device_keys(stored_devices, self._clock()))


MoveRequest = (
    api.BindLicensesRequest | api.ReleaseLicensesRequest | api.CancelReleasesRequest | api.ApproveReleasesRequest
)


MoveResponse = TypeVar("MoveResponse", bound=Message)


def _is_dry_run(request: MoveRequest) -> bool:
    """Tell whether a request asks for a dry run; not every move has that field."""
    return bool(getattr(request, "dry_run", False))


def _move_fields(request: MoveRequest, repeatable: Repeatable[MovedAll, Any]) -> dict[str, Any]:
    """Read the fields that every move has. Raises InvalidArgumentError if a field is wrong, and names it."""
    if not 1 <= len(request.licenses) <= _LICENSES_MAX:
        count = len(request.licenses)
        raise InvalidArgumentError("licenses", f"{count} licenses in one call; send 1 to {_LICENSES_MAX} at a time")
    licenses = [incoming.text(f"licenses[{at}]", license_id) for at, license_id in enumerate(request.licenses)]
    for at, license_id in enumerate(licenses):
        if (first := licenses.index(license_id)) != at:
            raise InvalidArgumentError(f"licenses[{at}]", f"{license_id!r} is licenses[{first}] already; name it once")
    return {
        "project": incoming.project_name(request.project),
        "licenses": licenses,
        "caller": caller_of_call.get(),
        "reason": incoming.reason(request.reason),
        "key": repeatable.key(),
        "dry_run": _is_dry_run(request),
    }
