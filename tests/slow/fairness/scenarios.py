"""The scenarios by name."""

from __future__ import annotations

from licensemaster.v1.allocation_pb2 import QueuePolicy
from tests.slow.fairness.world import Scenario, release_with_seats
from tests.support.projects.allocations import Policy, Rule

STARVED_SMALL_SITE = Scenario(
    title="A small site with a reserve among large ones",
    capacity=100,
    minutes=40,
    demands={
        "north": lambda _: 80,
        "south": lambda _: 80,
        "kiosk": lambda minute: 0 if minute < 10 else 5,
    },
    allocation=[Rule(name="kiosk", site="site-kiosk", reserve={"port": 5})],
)
FLAPPING_SITE = Scenario(
    title="A site whose line breaks, and comes back",
    capacity=60,
    minutes=60,
    demands={
        "branch": lambda minute: None if 10 <= minute < 17 or 30 <= minute < 37 else 30,
        "greedy": lambda _: 60,
    },
    allocation=[Policy(license_type="port", first_claim_seconds=900)],
)
SITE_STORM = Scenario(
    title="Everybody at one site comes back at once",
    capacity=120,
    minutes=40,
    demands={
        "stadium": lambda minute: 10 if minute < 10 else 200,
        **{name: (lambda minute: 20 if minute < 15 else 25) for name in ("north", "south", "west")},
    },
    allocation=[Rule(name="stadium", site="site-stadium", maximum={"port": 45})],
)
GREEDY_SITE = Scenario(
    title="One site always wants everything",
    capacity=100,
    minutes=60,
    demands={
        "greedy": lambda _: 100,
        **{name: (lambda _: 25) for name in ("alpha", "beta", "gamma", "delta")},
    },
    turnover=0.1,
    allocation=[Policy(license_type="port", queue=QueuePolicy(length_max=1000))],
)
CALL_CENTRE = Scenario(
    title="A call centre and an office, a pool short of 30",
    capacity=90,
    minutes=80,
    demands={
        "office": lambda _: 60,
        "callcentre": lambda minute: 0 if minute < 10 else 60,
    },
    turnover=0.1,
    allocation=[
        Rule(name="callcentre", site="site-callcentre", weight={"port": 2}),
        Policy(license_type="port", queue=QueuePolicy(length_max=1000)),
    ],
)
SHRINKING_POOL = Scenario(
    title="A pool that shrinks while all of it is in use",
    capacity=100,
    minutes=40,
    demands={
        "rescue": lambda _: 20,
        "office": lambda _: 40,
        "lobby": lambda _: 40,
    },
    allocation=[
        Rule(name="rescue", site="site-rescue", serves_emergencies=True),
        Rule(name="lobby", site="site-lobby", priority={"port": -10}),
    ],
    leaving=45,
    events={15: release_with_seats},
)
ALL = {
    "starved small site": STARVED_SMALL_SITE,
    "flapping site": FLAPPING_SITE,
    "site storm": SITE_STORM,
    "greedy site": GREEDY_SITE,
    "call centre": CALL_CENTRE,
    "shrinking pool": SHRINKING_POOL,
}
