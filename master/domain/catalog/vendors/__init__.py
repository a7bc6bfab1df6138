"""The catalogs that come with the license master, one TOML file per vendor."""
