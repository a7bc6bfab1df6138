"""What licenses cost a real registrar: REGISTERs by SIPp at a Kamailio with an agent and a master, and at one alone."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from bench import load
from bench.figures import Figure, Plan, Report
from bench.serving import sqlite
from license_agent.kamailio.locations import Locations
from master.launch import master_process
from master.shipped import shipped
from simulator.sip.phones import Phones
from simulator.sip.programs import missing_programs
from simulator.sip.site import AgentProcess, Kamailio

_AT_A_TIME = 64
_TARGETS = {"new": "ratio >= 0.5", "refreshed": "ratio >= 0.85"}


async def sip(plan: Plan, report: Report) -> list[Figure]:
    """(10) Registrations per second, each durable at the master, and their refreshes, in turn with Kamailio alone."""
    if missing := missing_programs():
        report(f"not measured, for want of {', '.join(missing)}")
        return []
    rates: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        config = shipped("examples") / "kamailio" / "kamailio.cfg"
        (folder / "alone").mkdir()
        alone = Kamailio(folder / "alone", config, defines={"UNLICENSED": ""}, shared_megabytes=512)
        licensed = Kamailio(folder, config, shared_megabytes=512)
        async with sqlite() as url, master_process(url) as master:
            await load.apply(master.address, ports=plan.calls * plan.rounds + 1, sites=1)
            agent = AgentProcess(
                folder,
                licensed,
                masters=master.address,
                pbx=load.pbx_name(0),
            )
            locations = Locations(licensed.rpc, licensed.token)
            programs = (alone, licensed, agent)
            try:
                for program in programs:
                    await program.start()
                await _rate(folder / "warm", licensed, ["first"])  # tries until the agent is connected
                for round_ in range(plan.rounds):
                    users = [f"r{round_}-{number}" for number in range(plan.calls)]
                    for kind in ("new", "refreshed", "refreshed, asked"):
                        if kind == "refreshed, asked":
                            await locations.forget_licensed()
                        for who, kamailio in (("alone", alone), ("licensed", licensed)):
                            rate = await _rate(folder / f"{who}-{kind}-{round_}", kamailio, users)
                            rates.setdefault((kind, who), []).append(rate)
                            report(f"{kind}, {who}: {rate:,.0f}/s")
            finally:
                await locations.close()
                for program in programs:
                    await program.kill()
    return [
        Figure(
            f"SIP REGISTER, {kind}",
            median(rates[kind, "licensed"]),
            "1/s",
            median(rates[kind, "licensed"]) / median(rates[kind, "alone"]),
            f"Kamailio alone, {median(rates[kind, 'alone']):,.0f}/s",
            _TARGETS.get(kind, ""),
        )
        for kind in ("new", "refreshed", "refreshed, asked")
    ]


async def _rate(folder: Path, kamailio: Kamailio, users: list[str]) -> float:
    """Have each user register once; returns how many did in a second. All are to be accepted."""
    phones = Phones(folder, kamailio, users, at_a_time=_AT_A_TIME)
    started = time.perf_counter()
    await phones.start()
    code = await phones.wait()
    seconds = time.perf_counter() - started
    assert code == 0, phones.log.read_text()[-2000:]
    assert len(phones.answers().accepted) == len(users)
    return len(users) / seconds
