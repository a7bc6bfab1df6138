"""Puts what both sides share and the code generated from the protos into the wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DESCRIPTORS = "licensemaster/v1/descriptors.binpb"
"""The protos with their comments, for servers that describe them."""


class ProtoBuildHook(BuildHookInterface[Any]):
    """Generates `licensemaster.v1` beside its protos and ships it with what both sides share."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate the code; for a standard wheel, name every file that belongs into it."""
        package = Path(self.root)
        proto = package.parent / "proto"
        protos = sorted(str(path.relative_to(proto)) for path in proto.rglob("*.proto"))
        comments = ("--include_source_info", "--include_imports", f"--descriptor_set_out={DESCRIPTORS}")
        outputs = ("--python_out=.", "--pyi_out=.", "--grpc_python_out=.", *comments)
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *protos], cwd=proto, check=True)
        if version == "editable":
            return
        sources = [path for path in package.rglob("*.py") if path.name != "hatch_build.py"]
        build_data["force_include"].update(
            {str(path): f"licensemaster/{path.relative_to(package)}" for path in sources}
        )
        generated = [*proto.rglob("*_pb2*.py"), *proto.rglob("*_pb2*.pyi"), proto / DESCRIPTORS]
        build_data["force_include"].update({str(path): str(path.relative_to(proto)) for path in generated})
