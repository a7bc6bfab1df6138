"""The catalog that comes along, for tests of the deciding core."""

from importlib.resources import files

from master.domain.catalog_file import read_catalog

INNOVAPHONE = read_catalog(
    files("master.domain.catalogs").joinpath("innovaphone.toml").read_text(encoding="utf-8"), file="innovaphone.toml"
)
