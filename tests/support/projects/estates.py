"""Small projects for tests, written as short as they can be."""

from __future__ import annotations

from collections.abc import Mapping

from licensemaster.v1 import project_pb2
from tests.support.masters import PROJECT

_ROLES = {"master": 1, "slave": 2, "standby": 3}


def project(
    licenses: Mapping[str, int | tuple[int, str]],
    *,
    pbxs: Mapping[str, str] | None = None,
    **lease: int,
) -> project_pb2.Project:
    """A project with a master PBX `hq` on the device `hq-box` and what else is named.

    Args:
        licenses: printed name to quantity, bound to `hq-box`, or to (quantity, device); "" leaves it unbound.
        pbxs: PBX name to "role version platform [model]"; the device is called NAME-box. `hq` may be overridden.
        lease: the project's lease settings.
    """
    described = {"hq": "master 12 gateway", **(pbxs if pbxs is not None else {"berlin": "slave 12 gateway"})}
    message = project_pb2.Project(name=PROJECT, catalog="innovaphone", lease=project_pb2.LeaseSettings(**lease))
    for name, text in described.items():
        role, version, platform, *model = text.split()
        message.sites.add(name=f"site-{name}")
        message.devices.add(name=f"{name}-box", platform=platform, model=" ".join(model))
        message.pbxs.add(
            name=name,
            site=f"site-{name}",
            device=f"{name}-box",
            role=project_pb2.PbxRole.ValueType(_ROLES[role.split(":")[0]]),
            software_version=version.replace("_", " "),
            standby_for=role.partition(":")[2],
        )
    for number, (printed, what) in enumerate(licenses.items(), start=1):
        quantity, device = what if isinstance(what, tuple) else (what, "hq-box")
        message.licenses.add(id=f"license-{number}", type=printed, quantity=quantity, device=device)
    return message
