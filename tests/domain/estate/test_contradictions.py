"""What is wrong with an allocation is told when it is written, with both rules where two contradict each other."""

from __future__ import annotations

from typing import Any

import pytest

from licensemaster.api_enums import HolderKind
from licensemaster.values.toml_lines import path_text
from master.domain.allocation.policies import Allocation, AllocationRule, QueuePolicy, SiteGroup, TypePolicy
from master.domain.allocation.type_names import as_written, with_keys
from master.domain.estate.contradictions import Grounds, contradictions
from master.values import replace
from tests.domain.catalogs import INNOVAPHONE

SITES = frozenset({"berlin", "oslo", "rome"})
GROUNDS = Grounds(catalog=INNOVAPHONE, sites=SITES, capacities={"port": 10, "ipva": 4}, now=1000.0)


def rule(name: str, site: str = "", group: str = "", **said: object) -> AllocationRule:
    return AllocationRule(name=name, site=site, group=group, **said)  # type: ignore[arg-type]


def told(*parts: AllocationRule | SiteGroup | TypePolicy) -> list[tuple[str, str]]:
    """Where it is wrong, and why."""
    allocation = Allocation(
        tuple(part for part in parts if isinstance(part, SiteGroup)),
        tuple(part for part in parts if isinstance(part, AllocationRule)),
        tuple(part for part in parts if isinstance(part, TypePolicy)),
    )
    return [(path_text(violation.path), violation.reason) for violation in contradictions(allocation, GROUNDS)]


def test_what_fits_is_not_questioned() -> None:
    assert (
        told(
            SiteGroup(name="south", sites=("rome", "berlin")),
            rule("south", group="south", reserve={"port": 6}, maximum={"port": 8}),
            rule("rome", "rome", reserve={"port": 3}, weight={"port": 2}, priority={"port": 5}),
            rule("berlin", "berlin", reserve={"port": 3}),
            rule("oslo", "oslo", reserve={"port": 4}, ends_at=2000.0),
            rule("oslo-later", "oslo", reserve={"port": 2}, starts_at=2000.0),
            rule("all", maximum={"port": 9}),
            TypePolicy(license_type="port", queue=QueuePolicy(length_max=10), first_claim_seconds=60),
        )
        == []
    )


@pytest.mark.parametrize(
    ("parts", "where", "why"),
    [
        ((rule("a", "paris", reserve={"port": 1}),), "rules[0].site", "'paris' is no site of this project; there are "),
        (
            (rule("a", group="east", reserve={"port": 1}),),
            "rules[0].group",
            "'east' is no group of [[groups]]; there are ",
        ),
        ((rule("A b", "rome", reserve={"port": 1}),), "rules[0].name", "must be 1 to 63 of a-z"),
        (
            (rule("a", "rome", "south", reserve={"port": 1}), SiteGroup(name="south", sites=("oslo",))),
            "rules[0].group",
            "a rule is about a site or a group",
        ),
        ((rule("a", "rome"),), "rules[0]", "says nothing"),
        ((rule("a", "rome", weight={"port": 0}),), "rules[0].weight.port", "0 must be between 1 and 1,000"),
        ((rule("a", "rome", weight={"port": -1}),), "rules[0].weight.port", "-1 must be between 1 and 1,000"),
        ((rule("a", "rome", reserve={"port": -5}),), "rules[0].reserve.port", "must be between 1"),
        ((rule("a", "rome", reserve={"prot": 1}),), "rules[0].reserve.prot", "is no license type"),
        ((rule("a", "rome", deny=("prot",)),), "rules[0].deny[0]", "is no license type"),
        ((rule("a", "rome", allow=("port",), deny=("port",)),), "rules[0].allow", "both allows and denies port"),
        (
            (rule("a", "rome", reserve={"port": 1}, holder_kinds=(HolderKind.USER,)),),
            "rules[0].holder_kinds",
            "neither",
        ),
        (
            (rule("a", "rome", reserve={"port": 1}, starts_at=3000.0, ends_at=2000.0),),
            "rules[0].end_time",
            "later than",
        ),
        ((rule("a", "rome", reserve={"port": 1}, ends_at=900.0),), "rules[0].end_time", "is over"),
        ((rule("a", serves_emergencies=True),), "rules[0].serves_emergencies", "name the site or group"),
        ((SiteGroup(name="south", sites=("rome", "paris")),), "groups[0].sites[1]", "'paris' is no site"),
        ((SiteGroup(name="south", sites=()),), "groups[0].sites", "has no site"),
        (
            (SiteGroup(name="a", sites=("rome",)), SiteGroup(name="b", sites=("oslo", "rome"))),
            "groups[1].sites[1]",
            "'rome' is in group 'a' already, groups[0]",
        ),
        (
            (SiteGroup(name="a", sites=("rome",)), SiteGroup(name="a", sites=("oslo",))),
            "groups[1].name",
            "groups[0] too",
        ),
        (
            (rule("a", "rome", reserve={"port": 1}), rule("a", "oslo", reserve={"port": 1})),
            "rules[1].name",
            "rules[0] too",
        ),
        ((TypePolicy(license_type="port", queue=QueuePolicy(length_max=0)),), "types[0].queue.length_max", "between 1"),
        ((TypePolicy(license_type="port"), TypePolicy(license_type="port")), "types[1].license_type", "types[0] too"),
        ((TypePolicy(license_type="port", loan_days_max=400),), "types[0].loan_days_max", "between 0 and 366"),
        # two rules that contradict each other: both are named
        (
            (rule("a", "rome", reserve={"port": 1}), rule("b", "rome", reserve={"port": 2})),
            "rules[1].reserve.port",
            "'b' and 'a' (rules[0]) both give site rome a reserve of port",
        ),
        (
            (rule("a", weight={"port": 2}), rule("b", weight={"port": 3})),
            "rules[1].weight.port",
            "(rules[0]) both give every",
        ),
        (
            (rule("a", "rome", maximum={"port": 2}), rule("b", "rome", reserve={"port": 3})),
            "rules[1].reserve.port",
            "reserves 3 port for site rome, and 'a' (rules[0]) lets site rome have 2",
        ),
        (
            (rule("a", maximum={"port": 2}), rule("b", "rome", reserve={"port": 3})),
            "rules[1].reserve.port",
            "'a' (rules[0]) lets every site have 2",
        ),
        (
            (
                SiteGroup(name="s", sites=("rome",)),
                rule("a", group="s", maximum={"port": 2}),
                rule("b", "rome", reserve={"port": 3}),
            ),
            "rules[1].reserve.port",
            "'a' (rules[0]) lets group s have 2",
        ),
        (
            (rule("a", "rome", deny=("port",)), rule("b", "rome", reserve={"port": 3})),
            "rules[1].reserve.port",
            "to which 'a' (rules[0]) denies it",
        ),
        (
            (rule("a", "rome", reserve={"port": 8}), rule("b", "oslo", reserve={"port": 3})),
            "rules[1].reserve.port",
            "11 port are reserved, and 10 are installed in the shared pool; 'a' (rules[0]) reserves 8",
        ),
        ((rule("a", reserve={"port": 4}),), "rules[0].reserve.port", "12 port are reserved, and 10 are installed"),
        (
            (rule("a", "rome", reserve={"ipva": 5}),),
            "rules[0].reserve.ipva",
            "5 ipva are reserved, and 4 are installed",
        ),
        (
            (rule("a", "rome", reserve={"port": 8}, starts_at=5000.0), rule("b", "oslo", reserve={"port": 3})),
            "rules[1].reserve.port",
            "11 port are reserved",
        ),
        (
            (
                SiteGroup(name="s", sites=("rome", "oslo")),
                rule("a", group="s", maximum={"port": 5}),
                rule("b", "rome", reserve={"port": 3}),
                rule("c", "oslo", reserve={"port": 3}),
            ),
            "rules[2].reserve.port",
            "6 port are reserved for sites of group s, which 'a' (rules[0]) lets have 5",
        ),
        (
            (rule("a", "oslo", allow=("port",)), rule("b", "rome", reserve={"port": 3})),
            "rules[1].reserve.port",
            "reserves port for site rome, and 'a' (rules[0]) allows it to others alone",
        ),
        (
            (rule("a", "oslo", deny=("port",)), rule("b", reserve={"port": 3})),
            "rules[1].reserve.port",
            "reserves port for site oslo, to which 'a' (rules[0]) denies it",
        ),
        (
            (
                SiteGroup(name="s", sites=("rome", "oslo")),
                rule("a", deny=("port",), ends_at=2000.0),
                rule("b", group="s", reserve={"port": 3}, starts_at=1500.0),
            ),
            "rules[1].reserve.port",
            "reserves port for group s, to which 'a' (rules[0]) denies it",
        ),
        (
            (rule("a", "oslo", allow=("port",)), rule("b", "oslo", deny=("port",))),
            "rules[0].allow[0]",
            "'a' allows port to site oslo, and 'b' (rules[1]) denies it",
        ),
        (
            (
                SiteGroup(name="s", sites=("rome",)),
                rule("a", maximum={"port": 1}),
                rule("b", group="s", reserve={"port": 4}),
            ),
            "rules[1].reserve.port",
            "reserves 4 port for group s, and 'a' (rules[0]) lets every site have so few that its sites have 1 at most",
        ),
        (
            (
                SiteGroup(name="s", sites=("rome", "oslo")),
                rule("a", reserve={"port": 2}),
                rule("b", group="s", maximum={"port": 3}),
            ),
            "rules[0].reserve.port",
            "4 port are reserved for sites of group s, which 'b' (rules[1]) lets have 3",
        ),
        (
            (rule("a", reserve={"port": 3}), rule("b", "rome", maximum={"port": 1})),
            "rules[0].reserve.port",
            "reserves 3 port for every site, and 'b' (rules[1]) lets site rome have 1 at most",
        ),
        (
            (rule("a", reserve={"port": 4}), rule("b", "rome", reserve={"port": 1}, ends_at=5000.0)),
            "rules[0].reserve.port",
            "12 port are reserved",
        ),
    ],
)
def test_what_is_wrong_is_named(
    parts: tuple[AllocationRule | SiteGroup | TypePolicy, ...], where: str, why: str
) -> None:
    wrong = told(*parts)
    assert [place for place, _ in wrong] == [where], wrong
    assert why in wrong[0][1]


@pytest.mark.parametrize(
    "parts",
    [
        (rule("a", reserve={"port": 3}), rule("b", "rome", reserve={"port": 4})),
        (
            SiteGroup(name="s", sites=("rome", "oslo")),
            rule("a", reserve={"port": 2}),
            rule("b", group="s", reserve={"port": 8}),
        ),
        (
            SiteGroup(name="s", sites=("rome", "oslo")),
            rule("a", group="s", maximum={"port": 5}),
            rule("b", "rome", reserve={"port": 4}, ends_at=2000.0),
            rule("c", "oslo", reserve={"port": 4}, starts_at=2000.0),
        ),
        (
            rule("a", "oslo", allow=("port",)),
            rule("b", "oslo", deny=("port",), holder_kinds=(HolderKind.TRUNK,)),
            rule("c", "oslo", reserve={"port": 4}),
        ),
    ],
    ids=["its own in place of every site's", "part of its group's", "one after the other", "some holders may not"],
)
def test_what_fits_because_of_another_rule_is_not_questioned(
    parts: tuple[AllocationRule | SiteGroup | TypePolicy, ...],
) -> None:
    assert told(*parts) == []


def test_a_rule_that_ended_meanwhile_is_in_nobodys_way() -> None:
    ended = rule("fair", "rome", reserve={"port": 5}, ends_at=900.0)
    allocation = Allocation(rules=(ended, rule("oslo", "oslo", reserve={"port": 10})))
    assert contradictions(allocation, replace(GROUNDS, standing=(ended,))) == []


def test_ten_thousand_sites_in_a_thousand_groups_are_judged() -> None:
    sites = tuple(f"site-{number}" for number in range(10_000))
    grounds = Grounds(catalog=INNOVAPHONE, sites=frozenset(sites), capacities={"port": 10_000}, now=0.0)
    groups = tuple(SiteGroup(name=f"g-{number}", sites=sites[number * 10 : number * 10 + 10]) for number in range(1000))
    rules = tuple(rule(f"r-{number}", sites[number * 10], reserve={"port": 2}) for number in range(1000))
    rules += tuple(rule(f"q-{number}", group=f"g-{number}", maximum={"port": 9}) for number in range(1000))
    assert contradictions(Allocation(groups, rules), grounds) == []


def series(name: str, count: int, **said: Any) -> list[AllocationRule]:
    """Rules that say the same of Rome, each at a time of its own."""
    return [
        rule(f"{name}-{at}", "rome", **said, starts_at=2000.0 + 2 * at, ends_at=2001.0 + 2 * at) for at in range(count)
    ]


def test_what_would_take_too_long_to_judge_is_refused() -> None:
    """A reserve may change whenever a rule begins or ends, and each rule is looked at then."""
    every = rule("all", maximum={"port": 5})
    assert told(*series("kept", 600, reserve={"port": 1}), every) == []
    ((where, why),) = told(*series("kept", 800, reserve={"port": 1}), every)
    assert where == "rules"
    assert why.startswith(
        "801 rules that begin or end at 1,601 different times are 1,282,401 to be judged, 1,000,000 at"
    )


def test_too_many_pairs_to_judge_are_refused() -> None:
    def allowed_and_denied(count: int) -> list[AllocationRule]:
        allowed = series("allowed", count, allow=("port",), holder_kinds=(HolderKind.USER,))
        return allowed + series("denied", count, deny=("port",), holder_kinds=(HolderKind.TRUNK,))

    assert told(*allowed_and_denied(900)) == []
    ((where, why),) = told(*allowed_and_denied(1100))
    assert where == "rules"
    assert why.startswith("more than 1,000,000 pairs of them allow and deny, or reserve and limit, the same; let rules")


def test_types_are_named_by_key_or_by_any_printed_name_and_told_of_as_they_were_written() -> None:
    named = Allocation(
        rules=(
            rule("a", "rome", reserve={"PBX-Port": 4, "ipva": 1}, deny=("PBX UC",)),
            rule("b", "rome", reserve={"PBX Port": 3, "pbx-port": 4, "PBX-IPVA": 9}),
        ),
        types=(TypePolicy(license_type="PBX-Fax"),),
    )
    key_of = INNOVAPHONE.key_of
    allocation = with_keys(named, key_of)
    assert (allocation.rules[0].reserve, allocation.rules[0].deny) == ({"port": 4, "ipva": 1}, ("uc",))
    assert allocation.rules[1].reserve == {"port": 3, "pbx-port": 4, "ipva": 9}
    assert allocation.types[0].license_type == "fax"
    assert with_keys(allocation, key_of) == allocation
    said = {
        as_written(violation.path, named, key_of): violation.reason for violation in contradictions(allocation, GROUNDS)
    }
    assert said == {
        ("rules", 1, "reserve", "pbx-port"): "'pbx-port' is port, which is there too; give one number for it"
    }
    for path in (
        ("rules", 0, "reserve", "port"),
        ("rules", 1, "reserve", "ipva"),
        ("rules", 0, "deny", 0),
        ("types", 0),
    ):
        written = as_written(path, named, key_of)
        assert written == {"port": (*path[:-1], "PBX-Port"), "ipva": (*path[:-1], "PBX-IPVA")}.get(str(path[-1]), path)
