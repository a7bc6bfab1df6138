"""What dividing a pool costs: the morning storm with an operator's rules and without them, and with a queue.

A hundred groups of ten sites, each with a reserve and a maximum, and a maximum, a weight and a priority for the sites.
With a queue the pool has a tenth too few: nearly as many seats are waited for as a queue may have; one site then asks
anew.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median
from uuid import uuid4

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, PROJECT, SITES
from bench.serving import postgres, serving, sqlite
from licensemaster.tls.channels import open_channel
from licensemaster.v1 import allocation_pb2, allocation_pb2_grpc
from master.launch import MasterProcess

_GROUP_SITES = 10
_WAITING = 10_000
_SHORT = SITES * PHONES - _WAITING
_MOST = 1.3
"""How much more a storm may cost with rules than without."""


async def allocation(plan: Plan, report: Report) -> list[Figure]:
    """(15) The storm where every site's seats are divided by rules, against the same storm without any; where the pool
    is short and everybody waits, against the same pool without a queue."""
    figures = []
    for kind, database in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        divided, queued = _Comparison("rules", _rules()), _Comparison("a queue, pool short", _queue(), _SHORT)
        for _ in range(plan.rounds):
            for comparison in (divided, queued):
                for has_rules in (False, True):
                    async with database() as url, serving(url, ports=comparison.ports) as process:
                        await comparison.measure(process, has_rules=has_rules)
                        report(f"storm on {kind}, {comparison.told(has_rules)}")
        figures += [figure for comparison in (divided, queued) for figure in comparison.figures(kind)]
    return figures


@dataclass
class _Comparison:
    """The same storm with an allocation and without one."""

    name: str
    allocation: allocation_pb2.Allocation
    ports: int = SITES * PHONES
    seconds: defaultdict[bool, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: defaultdict[bool, list[float]] = field(default_factory=lambda: defaultdict(list))
    lone_ms: defaultdict[bool, list[float]] = field(default_factory=lambda: defaultdict(list))
    """An acquire of one seat afterwards, with nobody else asking."""

    async def measure(self, process: MasterProcess, *, has_rules: bool) -> None:
        """One storm."""
        if has_rules:
            await _lay_down(process.address, self.allocation)
        before = load.cpu_seconds(process.pid)
        took = await load.storm(process.address, round_number=0, ports=self.ports)
        self.seconds[has_rules].append(took)
        self.cpu[has_rules].append(load.cpu_seconds(process.pid) - before)
        if self.ports < SITES * PHONES:
            self.lone_ms[has_rules].append(await _lone_acquire_ms(process.address))

    def told(self, has_rules: bool) -> str:
        """The newest storm, in words."""
        return f"{'with' if has_rules else 'without'} {self.name}: {self.seconds[has_rules][-1]:.2f} s"

    def figures(self, kind: str) -> list[Figure]:
        """What it took with the allocation, and how that compares."""
        figures = []
        for what, unit, measured in (
            ("morning storm", "s", self.seconds),
            ("CPU of the server in it", "s", self.cpu),
            ("a lone acquire after it", "ms", self.lone_ms),
        ):
            if measured:
                with_rules, without = median(measured[True]), median(measured[False])
                name, target = f"{what} with {self.name}, {kind}", f"ratio <= {_MOST}"
                figures.append(Figure(name, with_rules, unit, with_rules / without, "without", target))
        return figures


async def _lone_acquire_ms(address: str) -> float:
    """An acquire of one seat of which none is free, and which is not waited for; the median of some."""
    async with AsyncExitStack() as stack:
        sites = load.Sites(stack, address, count=1)
        await sites.connect(1)
        await sites.open(0)
        rate = await load.closed_loop(
            lambda _, number: sites.acquire(0, load.seats(f"lone-{number}", 1)), workers=1, calls=200
        )
        return rate.p50_ms


def _queue() -> allocation_pb2.Allocation:
    policy = allocation_pb2.TypePolicy(license_type="port", queue=allocation_pb2.QueuePolicy(length_max=_WAITING))
    return allocation_pb2.Allocation(types=[policy])


def _rules() -> allocation_pb2.Allocation:
    message = allocation_pb2.Allocation()
    for number in range(SITES // _GROUP_SITES):
        members = [f"s{number * _GROUP_SITES + place}" for place in range(_GROUP_SITES)]
        message.groups.add(name=f"g{number}", sites=members)
        reserve, most = {"port": _GROUP_SITES * PHONES // 2}, {"port": _GROUP_SITES * PHONES + 50}
        message.rules.add(name=f"r{number}", group=f"g{number}", reserve=reserve, maximum=most, priority={"port": 1})
    message.rules.add(name="every", maximum={"port": PHONES + 20}, weight={"port": 2})
    return message


async def _lay_down(address: str, message: allocation_pb2.Allocation) -> None:
    async with open_channel(address) as channel:
        request = allocation_pb2.ApplyAllocationRequest(
            project=f"projects/{PROJECT}", allocation=message, request_id=str(uuid4())
        )
        await allocation_pb2_grpc.AllocationServiceStub(channel).ApplyAllocation(request)
