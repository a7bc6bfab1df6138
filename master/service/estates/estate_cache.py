"""The estates as last read; every batch compares revisions under lock, and reads again what has changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from master.domain.catalog.catalog import Catalog
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.seats.eligibility import EligibilityCache
from master.service.estates.agreement_ledgers import Ledgers
from master.service.runtime.names import PbxName, UnknownPbxError, UnknownProjectError
from master.store.backends.database import Tx
from master.store.statements.projects.projects import load_estate, revisions


class EstateCache:
    """Estates by project name, with what is certain in them; read again when a project's revision has changed, or the
    project was restored."""

    def __init__(self, catalogs: Mapping[str, Catalog], default_pace: LeasePace) -> None:
        self.catalogs = catalogs
        self.default_pace = default_pace
        """The lease pace where neither a project nor a PBX has a pace of its own."""
        self.ledgers = Ledgers()
        self._by_project: dict[str, EligibilityCache] = {}

    def apart(self) -> EstateCache:
        """Return a copy for a dry run: what the copy reads is not kept in the original."""
        other = EstateCache(self.catalogs, self.default_pace)
        other.ledgers = self.ledgers.apart()
        other._by_project = dict(self._by_project)
        return other

    def current(self, tx: Tx, names: Collection[str]) -> dict[str, EligibilityCache]:
        """Return the estates of some projects at their present revision; projects that do not exist are left out."""
        projects: dict[str, EligibilityCache] = {}
        for name, version in revisions(tx, names).items():
            eligibilities = self._by_project.get(name)
            if eligibilities is None or _version(eligibilities.estate) != version:
                eligibilities = self._by_project[name] = EligibilityCache(self._loaded(tx, name))
            projects[name] = eligibilities
        return projects

    def _loaded(self, tx: Tx, name: str) -> Estate:
        estate = load_estate(tx, name, self.catalogs, self.default_pace)
        assert estate is not None
        before = self._by_project.get(name)
        if before is not None and before.estate.epoch_floor != estate.epoch_floor:
            self.ledgers.forget(estate.project_id)
        return estate

    def find(self, tx: Tx, name: PbxName) -> tuple[EligibilityCache, Pbx]:
        """Find a PBX and its project by name. Raises UnknownPbxError if there is no such project or PBX."""
        eligibilities = self.current(tx, [name.project]).get(name.project)
        if eligibilities is None or name.pbx not in eligibilities.estate.pbx_ids:
            raise UnknownPbxError(name, eligibilities.estate.pbx_ids if eligibilities is not None else ())
        return eligibilities, eligibilities.estate.pbxs[eligibilities.estate.pbx_ids[name.pbx]]


def _version(estate: Estate) -> tuple[int, int]:
    return estate.revision, estate.epoch_floor


def read_estate(tx: Tx, estates: EstateCache, project: str) -> Estate:
    """Read a project as it is now. Raises UnknownProjectError if there is no such project."""
    projects = estates.current(tx, [project])
    if project not in projects:
        raise UnknownProjectError(project)
    return projects[project].estate
