"""The catalogs of a master: those that come along, and those that its settings name."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from licensemaster.files.texts import read_text
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.catalog_file import read_catalog
from master.settings import Settings


def load_catalogs(settings: Settings) -> dict[str, Catalog]:
    """Load the catalogs that come with the code and those that the settings name, by name.
    Raises CatalogError if a catalog has a mistake."""
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in resources.files("master.domain.catalog.vendors").iterdir()
        if file.name.endswith(".toml")
    }
    texts |= {str(path): read_text(path) for path in settings.catalog_files}
    return {catalog.name: catalog for catalog in (_catalog(text, file) for file, text in texts.items())}


@lru_cache(maxsize=32)
def _catalog(text: str, file: str) -> Catalog:
    """Parse a catalog, once for all masters of a process; a catalog never changes."""
    return read_catalog(text, file=file)
