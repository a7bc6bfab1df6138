"""The project balance as its service sees it: every verb once, without transport."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog

from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.service.estates.service_context import ServiceContext
from master.service.licenses import keys
from master.service.licenses.certificates import certify
from master.service.licenses.documents import Certificate, Enrollment, LicenseFile
from master.service.licenses.imports import Imported, import_licenses
from master.service.licenses.license_changes import under_lock
from master.service.licenses.license_views import LicenseView, license_views
from master.service.licenses.moves import Move, MovedAll, MoveRules, complete_releases, move_licenses
from master.service.licenses.shrinking import projects_with_shrinking_pools, shrink_pools
from master.service.runtime.names import UnknownNameError, type_asked_for
from master.service.runtime.request_answers import AnsweredBefore
from master.store.backends.database import Tx
from master.store.statements import licenses as store
from master.store.statements.projects.projects import device_names

_log = structlog.get_logger(__name__)
_CALLER = "master:releases"
_SHRINK_CALLER = "master:shrink"


class Licenses:
    """The verbs on a project's licenses and on the keys of vendors and devices: import, move, list, trust, enroll."""

    def __init__(
        self, context: ServiceContext, *, rules: MoveRules, token: Callable[[], str], enrollment_seconds: float
    ) -> None:
        self._context = context
        self._rules = rules
        self._overdrawn: list[str] = []
        self._token = token
        self._enrollment_seconds = enrollment_seconds

    async def import_licenses(self, project: str, file: LicenseFile, *, caller: str, reason: str) -> Imported:
        """Import a vendor's file of licenses into the balance.

        Raises:
            UnknownProjectError, DocumentRefusedError: nothing was changed.
        """
        work = partial(import_licenses, file=file)
        return await self._context.change(under_lock(project, work, caller=caller, reason=reason))

    async def move(self, request: Move) -> MovedAll | AnsweredBefore:
        """Bind licenses, or release them, cancel or approve releases; PBXs are notified at once.
        Raises UnknownProjectError if there is no such project."""
        moved = partial(move_licenses, request=request, rules=self._rules)
        work = under_lock(request.project, moved, caller=request.caller, reason=request.reason)
        if request.dry_run:
            return await self._context.rehearse(request.project, work)
        answer = await self._context.change(work)
        if isinstance(answer, AnsweredBefore):
            return answer
        self._context.hub.wake_all()
        for result in answer.results:
            if result.revoked.seats or result.revoked.at_risk:
                self._context.metrics.seats_revoked.inc(result.revoked.seats)
                _log.warning(
                    "seats revoked",
                    project=request.project,
                    license=result.license_id,
                    seats=result.revoked.seats,
                    at_risk=result.revoked.at_risk,
                )
        for warning in answer.warnings:
            _log.warning("project", project=request.project, warning=warning)
        return answer

    async def certify(self, certificate: Certificate, *, caller: str) -> License:
        """Check a device's security certificate and complete the release that it allows.

        Raises:
            UnknownProjectError, DocumentRefusedError: nothing was changed.
        """
        work = partial(certify, certificate=certificate, rules=self._rules)
        license = await self._context.change(under_lock(certificate.project, work, caller=caller))
        self._context.hub.wake_all()
        return license

    async def complete_releases(self) -> int:
        """Complete the releases that nothing blocks any more; return how many licenses changed."""
        done: list[License] = []
        work = partial(complete_releases, rules=self._rules)
        for project in await self._context.questions.read(store.projects_with_releases_to_complete):
            done += await self._context.change(under_lock(project, work, caller=_CALLER))
        if done:
            self._context.hub.wake_all()
            _log.info("releases completed", licenses=[license.id for license in done])
        return len(done)

    async def shrink_pools(self) -> int:
        """Take back the seats of pools that hold more than is to stay; return how many seats."""
        time, taken = self._context.lease_time(), 0
        overdrawn = await self._context.questions.read(store.overdrawn_projects)
        if overdrawn != self._overdrawn:  # PBXs hear at once that it began, and that it is over
            self._overdrawn = overdrawn
            self._context.hub.wake_all()
        for project in await self._context.questions.read(
            lambda tx: projects_with_shrinking_pools(tx, self._context.estates, time)
        ):
            seats = await self._context.change(under_lock(project, shrink_pools, caller=_SHRINK_CALLER))
            self._context.hub.wake_all()
            self._context.metrics.seats_revoked.inc(seats)
            _log.info("seats taken back", project=project, seats=seats)
            taken += seats
        return taken

    # --- Questions --------------------------------------------------------------------------------------------------

    async def list_licenses(
        self, project: str, *, device: str, license_type: str, after: str, limit: int
    ) -> list[LicenseView]:
        """List licenses in the order of their ids, beginning after `after`; an empty text means any.
        Raises UnknownNameError if the project has no such device or license type."""
        time = self._context.lease_time()

        def look(tx: Tx, estate: Estate) -> list[LicenseView]:
            key = type_asked_for(estate.catalog, license_type)
            if device and device not in (devices := device_names(tx, estate.project_id)):
                raise UnknownNameError("device", device, devices)
            licenses = [
                license
                for license in estate.licenses
                if license.id > after
                and key in ("", license.type.key)
                and device in ("", license.device.name if license.device else "")
            ]
            return license_views(tx, estate, licenses[:limit], time)

        return await self._context.read_project(project, look)

    async def view(self, project: str, licenses: list[License]) -> list[LicenseView]:
        """Return licenses together with what their releases still wait for."""
        time = self._context.lease_time()
        return await self._context.read_project(project, lambda tx, estate: license_views(tx, estate, licenses, time))

    async def vendor_key(self, project: str, key_id: str) -> store.VendorKey:
        """Return a vendor's key that the project trusts now.
        Raises UnknownProjectError or DocumentRefusedError if the key is not trusted."""
        return await self._context.read_project(
            project, lambda tx, estate: keys.trusted_key(tx, estate.project_id, key_id)
        )

    async def vendor_keys(self, project: str) -> list[store.VendorKey]:
        """Return all keys that a project trusts or has trusted, the newest first."""
        return await self._context.read_project(project, lambda tx, estate: store.vendor_keys(tx, estate.project_id))

    async def devices(self, project: str) -> list[store.StoredDevice]:
        return await self._context.read_project(project, lambda tx, estate: store.devices(tx, estate.project_id))

    async def devices_with_key(self, key_id: str) -> list[tuple[str, str, bytes]]:
        """Return (project, device, public key) of the devices that enrolled a key."""
        return await self._context.questions.read(lambda tx: store.devices_with_key(tx, key_id))

    # --- Keys -------------------------------------------------------------------------------------------------------

    async def trust_key(self, project: str, key: keys.TrustKey, *, caller: str, reason: str) -> store.VendorKey:
        work = partial(keys.trust_key, request=key)
        return await self._context.change(under_lock(project, work, caller=caller, reason=reason))

    async def distrust_key(self, project: str, key_id: str, *, caller: str, reason: str) -> store.VendorKey:
        work = partial(keys.distrust_key, key_id=key_id)
        return await self._context.change(under_lock(project, work, caller=caller, reason=reason))

    async def open_enrollment(self, project: str, device: str, *, caller: str, reason: str) -> tuple[str, float]:
        """Make a one-time token for a device; return the token and its end, UNIX seconds."""
        token = self._token()
        work = partial(keys.open_enrollment, name=device, token=token, lasts_seconds=self._enrollment_seconds)
        return token, await self._context.change(under_lock(project, work, caller=caller, reason=reason))

    async def enroll(self, request: Enrollment, *, caller: str) -> None:
        work = partial(keys.enroll, request=request)
        await self._context.change(under_lock(request.project, work, caller=caller))
        self._context.hub.wake_all()
