"""The catalog that comes along, for tests of the deciding core."""

from importlib.resources import files

from master.domain.catalog.catalog_file import read_catalog

INNOVAPHONE = read_catalog(
    files("master.domain.catalog.vendors").joinpath("innovaphone.toml").read_text(encoding="utf-8"),
    file="innovaphone.toml",
)
