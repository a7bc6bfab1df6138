"""The project balance as its service sees it: every verb once, without transport; and what completes by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from master.domain.estate.estate import Estate, License
from master.domain.estate.lease_time import LeaseTime
from master.metrics import Metrics
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.licenses import keys
from master.service.licenses.certificates import certify
from master.service.licenses.documents import Certificate, Enrollment
from master.service.licenses.imports import Imported, ImportLicenses, import_licenses
from master.service.licenses.license_views import LicenseView, license_views
from master.service.licenses.moves import Move, MovedAll, MoveRules, complete_releases, move_licenses
from master.service.runtime.periodic import PeriodicTask
from master.service.runtime.request_answers import AnsweredBefore
from master.service.runtime.watch import WatchHub
from master.store.backends.database import Transactions, Tx
from master.store.backends.rehearsal import Rehearsals
from master.store.statements import licenses as store

_log = structlog.get_logger(__name__)
_CALLER = "master:releases"


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseQuery:
    """Which licenses to list; an empty text means any."""

    project: str
    device: str = ""
    license_type: str = ""


class Licenses:
    """Imports, moves and lists licenses, and the keys of vendors and devices."""

    def __init__(
        self,
        *,
        database: Transactions,
        rehearsals: Rehearsals,
        estates: EstateCache,
        hub: WatchHub,
        lease_time: Callable[[], LeaseTime],
        metrics: Metrics,
        rules: MoveRules,
        token: Callable[[], str],
        enrollment_seconds: float,
    ) -> None:
        self._database = database
        self._rehearsals = rehearsals
        self._estates = estates
        self._hub = hub
        self._lease_time = lease_time
        self._metrics = metrics
        self._rules = rules
        self._token = token
        self._enrollment_seconds = enrollment_seconds

    async def import_licenses(self, request: ImportLicenses) -> Imported:
        """Take a file's licenses into the balance.

        Raises:
            UnknownProjectError, DocumentRefusedError: nothing was changed.
        """
        time = self._lease_time()
        return await self._database.transact(lambda tx: import_licenses(tx, self._estates, request, time))

    async def move(self, request: Move) -> MovedAll | AnsweredBefore:
        """Bind, release, cancel or approve; PBXs are notified at once.

        Raises:
            UnknownProjectError: there is no such project.
        """
        time = self._lease_time()
        if request.dry_run:
            apart = self._estates.apart()
            return await self._rehearsals.run(
                request.project, lambda tx: move_licenses(tx, apart, request, self._rules, time)
            )
        answer = await self._database.transact(lambda tx: move_licenses(tx, self._estates, request, self._rules, time))
        if isinstance(answer, AnsweredBefore):
            return answer
        self._hub.wake_all()
        for result in answer.results:
            if result.revoked.seats or result.revoked.at_risk:
                self._metrics.seats_revoked.inc(result.revoked.seats)
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
        time = self._lease_time()
        license = await self._database.transact(
            lambda tx: certify(tx, self._estates, certificate, self._rules, caller=caller, time=time)
        )
        self._hub.wake_all()
        return license

    async def complete_releases(self) -> list[License]:
        """Complete the releases that nothing blocks any more; returns their licenses."""
        done: list[License] = []
        time = self._lease_time()
        for project in await self._database.read(store.projects_with_releases_to_complete):

            def work(tx: Tx, project: str = project) -> list[License]:
                return complete_releases(tx, self._estates, project, self._rules, caller=_CALLER, time=time)

            done += await self._database.transact(work)
        if done:
            self._hub.wake_all()
            _log.info("releases completed", licenses=[license.id for license in done])
        return done

    # --- Questions --------------------------------------------------------------------------------------------------

    async def list_licenses(self, which: LicenseQuery, *, after: str, limit: int) -> tuple[Estate, list[LicenseView]]:
        """List licenses in the order of their ids, beginning after `after`."""
        time = self._lease_time()

        def look(tx: Tx) -> tuple[Estate, list[LicenseView]]:
            estate = read_estate(tx, self._estates, which.project)
            key = estate.catalog.key_of(which.license_type) if which.license_type else ""
            licenses = [
                license
                for license in estate.licenses
                if license.id > after
                and key in ("", license.type.key)
                and which.device in ("", license.device.name if license.device else "")
            ]
            return estate, license_views(tx, estate, licenses[:limit], time)

        return await self._database.read(look)

    async def view(self, project: str, items: list[License]) -> list[LicenseView]:
        """Add to licenses what their releases still wait for."""
        time = self._lease_time()

        def look(tx: Tx) -> list[LicenseView]:
            return license_views(tx, read_estate(tx, self._estates, project), items, time)

        return await self._database.read(look)

    async def vendor_key(self, project: str, key_id: str) -> store.VendorKey:
        """Return a vendor's key that the project trusts now.

        Raises:
            UnknownProjectError, DocumentRefusedError: it is not.
        """

        def look(tx: Tx) -> store.VendorKey:
            return keys.trusted_key(tx, read_estate(tx, self._estates, project).project_id, key_id)

        return await self._database.read(look)

    async def vendor_keys(self, project: str) -> list[store.VendorKey]:
        """All keys that a project trusts or trusted, the newest first."""
        return await self._database.read(
            lambda tx: store.vendor_keys(tx, read_estate(tx, self._estates, project).project_id)
        )

    async def devices(self, project: str) -> list[store.StoredDevice]:
        return await self._database.read(
            lambda tx: store.devices(tx, read_estate(tx, self._estates, project).project_id)
        )

    async def devices_with_key(self, key_id: str) -> list[tuple[str, str, bytes]]:
        """(project, device, public key) of those that enrolled a key."""
        return await self._database.read(lambda tx: store.devices_with_key(tx, key_id))

    # --- Keys -------------------------------------------------------------------------------------------------------

    async def trust_key(self, request: keys.TrustKey) -> store.VendorKey:
        time = self._lease_time()
        return await self._database.transact(lambda tx: keys.trust_key(tx, self._estates, request, time))

    async def distrust_key(self, request: keys.DistrustKey) -> store.VendorKey:
        time = self._lease_time()
        return await self._database.transact(lambda tx: keys.distrust_key(tx, self._estates, request, time))

    async def open_enrollment(self, project: str, device: str, *, caller: str, reason: str) -> tuple[str, float]:
        """Make a one-time token for a device; returns it and its end, in UNIX seconds."""
        time, token = self._lease_time(), self._token()
        request = keys.OpenEnrollment(
            project=project,
            device=device,
            token=token,
            ends_at=time.now + self._enrollment_seconds,
            caller=caller,
            reason=reason,
        )
        await self._database.transact(lambda tx: keys.open_enrollment(tx, self._estates, request, time))
        return token, request.ends_at

    async def enroll(self, request: Enrollment, *, caller: str) -> None:
        time = self._lease_time()
        await self._database.transact(lambda tx: keys.enroll(tx, self._estates, request, caller=caller, time=time))
        self._hub.wake_all()


class ReleaseTask(PeriodicTask):
    """Completes releases as soon as nobody uses the licenses any more."""

    def __init__(self, licenses: Licenses, *, interval_seconds: float) -> None:
        super().__init__(interval_seconds=interval_seconds)
        self._licenses = licenses

    async def run_once(self) -> int:
        """Complete what can be completed; how many releases."""
        return len(await self._licenses.complete_releases())
