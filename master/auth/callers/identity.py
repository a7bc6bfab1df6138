"""Who a certificate is for: a role, a name, and perhaps the one project that it is confined to.

A certificate carries exactly one URI of the scheme `license-master` among its alternative names:

    license-master://projects/acme/pbxs/berlin        this PBX, and no other
    license-master://operators/anna                   an operator; a viewer or a vendor alike
    license-master://projects/acme/operators/anna     the same, confined to one project
    license-master://metrics/prometheus               a scraper

One without such a URI is a master's own: it may ask for a master's health and nothing else.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cached_property

from master.domain.estate.project import NAME, NAME_RULE
from master.values import Value

SCHEME = "license-master://"
_URI = re.compile(
    rf"license-master://(?:projects/(?P<project>{NAME.pattern})/)?"
    r"(?P<role>pbxs|operators|viewers|vendors|metrics)/(?P<name>[A-Za-z0-9][A-Za-z0-9._@-]{0,62})"
)


class Role(Enum):
    """What a caller is to a master; the value is the word in the URI."""

    PBX = "pbxs"
    OPERATOR = "operators"
    VIEWER = "viewers"
    VENDOR = "vendors"
    METRICS = "metrics"
    MASTER = "masters"


class IdentityError(ValueError):
    """A text is no valid identity; the message says what an identity looks like."""


class Identity(Value, dict=True):
    """The identity of a caller, proven by a certificate."""

    role: Role
    name: str
    project: str | None = None
    """The only project that the caller may touch; None for all. A PBX always has one."""

    @cached_property
    def uri(self) -> str:
        """The URI as the certificate says it; the audit keeps this as the caller."""
        within = f"projects/{self.project}/" if self.project else ""
        return f"{SCHEME}{within}{self.role.value}/{self.name}"

    @cached_property
    def resource(self) -> str:
        """The URI without its scheme: for a PBX its name in requests, projects/{project}/pbxs/{pbx}."""
        return self.uri.removeprefix(SCHEME)


MASTER = Identity(Role.MASTER, "master")
"""The identity of a certificate that the authority signed for no named caller."""


def identity_of(uri: str) -> Identity:
    """Return the identity that a URI names. Raises IdentityError if the URI names nobody."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise IdentityError(
            f"{uri[:200]!r} names nobody; write {SCHEME}projects/PROJECT/pbxs/PBX or {SCHEME}operators/NAME;"
            f" a project's name {NAME_RULE}"
        )
    role, project = Role(match["role"]), match["project"]
    if role is Role.PBX and project is None:
        raise IdentityError(f"{uri!r} must name the PBX's project: {SCHEME}projects/PROJECT/pbxs/PBX")
    if role is Role.PBX and not NAME.fullmatch(match["name"]):
        raise IdentityError(f"{uri!r} can be no PBX: its name {NAME_RULE}")
    if role is Role.METRICS and project is not None:
        raise IdentityError(f"{uri!r} must name no project: the metrics page shows all of them")
    return Identity(role, match["name"], project)


def operator_of(caller: str) -> str:
    """Return who a caller is, wherever the call came from; all callers without a name on one host are one.

    A proven caller is one person under every certificate with that name, confined to a project or not.
    """
    named, apart, _ = caller.rpartition(" (")
    if not apart:
        return caller.rpartition(":")[0]
    named = named.strip().casefold()
    return named.rpartition("/")[2] if named.startswith(SCHEME) else named
