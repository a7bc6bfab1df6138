"""The estates as last read, told stale by their revision; every batch asks anew under lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from master.domain.catalog.catalog import Catalog
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.seats.eligibility import TermsBook
from master.service.estates.agreement_ledgers import Ledgers
from master.service.runtime.names import PbxName, UnknownPbxError, UnknownProjectError
from master.store.backends.database import Tx
from master.store.statements.projects import load_estate, revisions


class Estates:
    """Terms books by project name, loaded again when a project's revision has moved."""

    def __init__(self, catalogs: Mapping[str, Catalog], default_pace: LeasePace) -> None:
        self.catalogs = catalogs
        self._default_pace = default_pace
        self.ledgers = Ledgers()
        self._books: dict[str, TermsBook] = {}

    def apart(self) -> Estates:
        """The same for a dry run: what is read on a copy that is thrown away is not kept here."""
        other = Estates(self.catalogs, self._default_pace)
        other.ledgers = self.ledgers.apart()
        other._books = dict(self._books)
        return other

    def current(self, tx: Tx, names: Collection[str]) -> dict[str, TermsBook]:
        """The books of some projects; projects that do not exist are left out."""
        books: dict[str, TermsBook] = {}
        for name, revision in revisions(tx, names).items():
            book = self._books.get(name)
            if book is None or book.estate.revision != revision:
                estate = load_estate(tx, name, self.catalogs, self._default_pace)
                assert estate is not None
                book = self._books[name] = TermsBook(estate)
            books[name] = book
        return books

    @property
    def default_pace(self) -> LeasePace:
        """How long leases last where neither a project nor a PBX says."""
        return self._default_pace

    def find(self, tx: Tx, name: PbxName) -> tuple[TermsBook, Pbx]:
        """A PBX and its project.

        Raises:
            UnknownPbxError: there is no such project or PBX.
        """
        book = self.current(tx, [name.project]).get(name.project)
        if book is None or name.pbx not in book.estate.pbx_ids:
            raise UnknownPbxError(name, book.estate.pbx_ids if book is not None else ())
        return book, book.estate.pbxs[book.estate.pbx_ids[name.pbx]]


def read_estate(tx: Tx, estates: Estates, project: str) -> Estate:
    """A project as it stands.

    Raises:
        UnknownProjectError: there is none.
    """
    books = estates.current(tx, [project])
    if project not in books:
        raise UnknownProjectError(project)
    return books[project].estate
