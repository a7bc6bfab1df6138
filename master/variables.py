"""Variables that begin with LICENSE_MASTER_: the settings of a master, and what commands take besides.

A variable that is neither is misspelt, and what it should say would silently not count.
"""

from __future__ import annotations

PREFIX = "LICENSE_MASTER_"
SERVER = f"{PREFIX}SERVER"
PROJECT = f"{PREFIX}PROJECT"
PROFILE = f"{PREFIX}PROFILE"
PROFILES = f"{PREFIX}PROFILES"
PKI = f"{PREFIX}PKI"
PKI_TOKEN = f"{PREFIX}PKI_TOKEN"
DEVICE_TOKEN = f"{PREFIX}DEVICE_TOKEN"
TLS_CA, TLS_CERTIFICATE, TLS_KEY = (f"{PREFIX}TLS_{what}_FILE" for what in ("CA", "CERTIFICATE", "KEY"))
"""Settings of a master, which commands read too: a master's probes show the same files."""
COMMANDS = frozenset({SERVER, PROJECT, PROFILE, PROFILES, PKI, PKI_TOKEN, DEVICE_TOKEN})
"""The variables that commands read besides settings."""
