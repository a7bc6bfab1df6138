"""What a PBX maker embeds to lease seats from a license master.

    import asyncio
    from pathlib import Path
    from slave_client import CallKind, ClientConfig, Granted, HolderKind, SlaveClient, Want

    async def main() -> None:
        config = ClientConfig(
            addresses=("license-master-1:7600", "license-master-2:7600"),
            pbx="projects/acme/pbxs/berlin",
            software_version="12r1",
            state_dir=Path("/var/lib/pbx/license"),
        )
        async with SlaveClient(config, on_state=print, on_seat=print, on_notice=print) as client:
            match await client.acquire(Want("port", HolderKind.USER, "4711")):
                case Granted():
                    print("4711 may register")
                case refused:
                    print(refused.message, refused.remedy.text)

EMERGENCY RULE: emergency calls and running calls never depend on a license. `client.call_allowed(kind=...)` says so in
every state, without I/O; a PBX may as well not ask.
"""

from licensemaster.api_enums import Basis, HolderKind, RemedyAction, StandbyProblemKind
from licensemaster.files.folder_lock import FolderInUseError
from licensemaster.signing.device_key import BoundLicense, DeviceKey, DeviceKeyError
from licensemaster.signing.documents import DocumentError
from slave_client.blocking import BlockingSlaveClient
from slave_client.client import SlaveClient
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.standby.takeover import TakeoverError, TakeoverProblem
from slave_client.storage.state_files import StateDirError
from slave_client.values.calls import CallKind, SeatPossession, call_allowed
from slave_client.values.config import ClientConfig, ConfigError
from slave_client.values.notices import Notice, NoticeKind
from slave_client.values.report import Loan, Report
from slave_client.values.seats import (
    Awaited,
    Granted,
    Held,
    LicenseRef,
    LossCause,
    Lost,
    Outcome,
    Reason,
    Refused,
    Remedy,
    RemedyStep,
    Returned,
    ReturnOutcome,
    SeatChange,
    SeatKey,
    Source,
    Synced,
    TopHolder,
    Want,
)
from slave_client.values.states import State
from slave_client.values.tls_files import TlsFiles

__all__ = [
    "Awaited",
    "Basis",
    "BlockingSlaveClient",
    "BoundLicense",
    "CallKind",
    "ClientConfig",
    "ConfigError",
    "DeviceKey",
    "DeviceKeyError",
    "DocumentError",
    "FolderInUseError",
    "Granted",
    "Held",
    "HolderKind",
    "LicenseRef",
    "Loan",
    "LossCause",
    "Lost",
    "NetworkSwitch",
    "Notice",
    "NoticeKind",
    "Outcome",
    "Reason",
    "Refused",
    "Remedy",
    "RemedyAction",
    "RemedyStep",
    "Report",
    "ReturnOutcome",
    "Returned",
    "SeatChange",
    "SeatKey",
    "SeatPossession",
    "SlaveClient",
    "Source",
    "StandbyProblemKind",
    "State",
    "StateDirError",
    "Synced",
    "TakeoverError",
    "TakeoverProblem",
    "TlsFiles",
    "TopHolder",
    "Want",
    "call_allowed",
]
