"""What dividing a pool costs: the morning storm with an operator's rules and without them.

A hundred groups of ten sites, each with a reserve and a maximum, and a maximum, a weight and a priority for the sites.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from uuid import uuid4

from bench import load
from bench.figures import Figure, Plan, Report
from bench.load import PHONES, PROJECT, SITES, Morning
from bench.serving import PLAIN_TEXT, postgres, serving, sqlite
from licensemaster.tls.channels import open_channel
from licensemaster.v1 import allocation_pb2, allocation_pb2_grpc

_GROUP_SITES = 10
_MOST = 1.3
"""How much more a storm may cost with rules than without."""


async def allocation(plan: Plan, report: Report) -> list[Figure]:
    """(15) The storm where every site's seats are divided by rules, against the same storm without any."""
    figures = []
    for kind, database in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        seconds, cpu = defaultdict[bool, list[float]](list), defaultdict[bool, list[float]](list)
        for _ in range(plan.rounds):
            for divides in (False, True):
                async with database() as url, serving(url, ports=SITES * PHONES, transport=PLAIN_TEXT) as process:
                    if divides:
                        await _lay_down(process.address)
                    before = load.cpu_seconds(process.pid)
                    took = await load.storm(
                        process.address, round_number=0, credentials=None, morning=Morning.TWO_CALLS
                    )
                    seconds[divides].append(took)
                    cpu[divides].append(load.cpu_seconds(process.pid) - before)
                    report(f"storm on {kind}, {'with' if divides else 'without'} rules: {took:.2f} s")
        for what, unit, measured in (("morning storm", "s", seconds), ("CPU of the server in it", "s", cpu)):
            with_rules, without = median(measured[True]), median(measured[False])
            name, target = f"{what} with rules, {kind}", f"ratio <= {_MOST}"
            figures.append(Figure(name, with_rules, unit, with_rules / without, "without rules", target))
    return figures


async def _lay_down(address: str) -> None:
    message = allocation_pb2.Allocation()
    for number in range(SITES // _GROUP_SITES):
        members = [f"s{number * _GROUP_SITES + place}" for place in range(_GROUP_SITES)]
        message.groups.add(name=f"g{number}", sites=members)
        reserve, most = {"port": _GROUP_SITES * PHONES // 2}, {"port": _GROUP_SITES * PHONES + 50}
        message.rules.add(name=f"r{number}", group=f"g{number}", reserve=reserve, maximum=most, priority={"port": 1})
    message.rules.add(name="every", maximum={"port": PHONES + 20}, weight={"port": 2})
    async with open_channel(address) as channel:
        request = allocation_pb2.ApplyAllocationRequest(
            project=f"projects/{PROJECT}", allocation=message, request_id=str(uuid4())
        )
        await allocation_pb2_grpc.AllocationServiceStub(channel).ApplyAllocation(request)
