"""What cannot work is refused before anything is installed: unknown or impossible values, and wrong combinations."""

import json
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import helm_python
import pytest
import yaml

from licensemaster.daemon.setting_values import Limits
from licensemaster.daemon.settings import settings_of
from master.settings import Settings
from tests.helm.charts import CHART, POSTGRESQL, SETS, SQLITE, Values, files, resources

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
POSTGRESQL_SETTINGS = POSTGRESQL["database"]["postgresql"]

WRONG: dict[str, tuple[Values, str, str]] = {
    "no image": (
        {**SQLITE, "image": {}},
        "image.repository is empty",
        "build the image from the project's Containerfile",
    ),
    "sqlite with several masters": (
        {**SQLITE, "replicas": 2},
        "replicas is 2 with database.type sqlite",
        "Set replicas to 1, or database.type to postgresql",
    ),
    "sqlite without a volume": (
        {**SQLITE, "database": {"sqlite": {"persistence": {"enabled": False}}}},
        "all leases and licenses would be lost with the pod",
        "Set it to true, or database.type to postgresql",
    ),
    "both databases, sqlite chosen": (
        {**SQLITE, "database": {"postgresql": {"existingSecret": "estate-app"}}},
        "database.postgresql.existingSecret is set with database.type sqlite",
        "Set database.type to postgresql, or remove database.postgresql.existingSecret",
    ),
    "both databases, postgresql chosen": (
        {
            **POSTGRESQL,
            "database": {**POSTGRESQL["database"], "sqlite": {"persistence": {"existingClaim": "licenses"}}},
        },
        "database.sqlite.persistence.existingClaim is set with database.type postgresql",
        "Set database.type to sqlite, or remove database.sqlite.persistence.existingClaim",
    ),
    "postgresql without an address": (
        {**POSTGRESQL, "database": {"type": "postgresql"}},
        "database.postgresql.existingSecret is empty",
        "make a Secret that holds postgresql://USER:PASSWORD@HOST:PORT/NAME under the key uri",
    ),
    "verified by nobody": (
        {
            **POSTGRESQL,
            "database": {"type": "postgresql", "postgresql": {**POSTGRESQL_SETTINGS, "sslMode": "verify-full"}},
        },
        "sslMode is verify-full without an authority",
        "set database.postgresql.caSecret.name",
    ),
    "an authority that nobody asks": (
        {
            **POSTGRESQL,
            "database": {"type": "postgresql", "postgresql": {**POSTGRESQL_SETTINGS, "caSecret": {"name": "ca"}}},
        },
        "sslMode require, which does not look at it",
        "set database.postgresql.sslMode to verify-full",
    ),
    "no certificates": (
        {**SQLITE, "tls": {}},
        "nothing says where the certificates come from",
        "Set exactly one of tls.existingSecret",
    ),
    "certificates from two places": (
        {**SQLITE, "tls": {"existingSecret": "own", "certManager": {"issuerRef": {"name": "bank"}}}},
        "the certificates come from several places",
        "Set exactly one of tls.existingSecret",
    ),
    "two issuers": (
        {**SQLITE, "tls": {"certManager": {"caSecret": "own", "issuerRef": {"name": "bank"}}}},
        "the certificates come from several places",
        "tls.certManager.caSecret",
    ),
    "names for a certificate that is there already": (
        {**SQLITE, "tls": {"existingSecret": "own", "certManager": {"dnsNames": ["licenses.bank.example"]}}},
        "tls.certManager.dnsNames or ipAddresses is set with tls.existingSecret",
        "Put them into the certificate of the Secret",
    ),
    "a budget for one master": (
        {**SQLITE, "podDisruptionBudget": {"enabled": True}},
        "podDisruptionBudget.enabled is true with one master",
        "Set it to auto, or replicas to 2 or more",
    ),
    "a budget for all masters": (
        {**POSTGRESQL, "podDisruptionBudget": {"maxUnavailable": 3}},
        "podDisruptionBudget.maxUnavailable is 3 of 3 masters",
        "Set it to at most 2",
    ),
    "source ranges that nothing enforces": (
        {**SQLITE, "service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}},
        "service.loadBalancerSourceRanges is set with service.type ClusterIP",
        "Set service.type to LoadBalancer, or use networkPolicy.callers",
    ),
    "a node port without nodes": (
        {**SQLITE, "service": {"nodePort": 30760}},
        "service.nodePort is set with service.type ClusterIP",
        "Set service.type to NodePort or LoadBalancer",
    ),
    "callers that nothing enforces": (
        {**SQLITE, "networkPolicy": {"enabled": False, "callers": [{"podSelector": {}}]}},
        "networkPolicy.callers is set while networkPolicy.enabled is false",
        "Set networkPolicy.enabled to true",
    ),
}

NONSENSE: dict[str, tuple[Values, str]] = {
    "a value that does not exist": ({"replica": 2}, "additional properties 'replica' not allowed"),
    "no masters": ({"replicas": 0}, "at '/replicas': minimum: got 0, want 1"),
    "another database": ({"database": {"type": "mysql"}}, "at '/database/type': value must be one of"),
    "a tag in the repository's digest": ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    "a setting that does not exist": ({"settings": {"ttl": 5}}, "at '/settings': additional properties 'ttl'"),
    "a setting out of bounds": ({"settings": {"ttl_seconds": 1}}, "at '/settings/ttl_seconds': minimum: got 1, want 5"),
    "a setting that the chart makes": ({"settings": {"listen": "[::]:1"}}, "additional properties 'listen'"),
    "root": ({"securityContext": {"runAsUser": 0}}, "at '/securityContext/runAsUser': minimum"),
    "no bounds": ({"resources": {"limits": None}}, "at '/resources': missing property 'limits'"),
    "a budget that is neither": ({"podDisruptionBudget": {"enabled": "yes"}}, "at '/podDisruptionBudget/enabled'"),
    "a catalog outside its folder": ({"catalogs": {"../a.toml": "x"}}, "invalid propertyName '../a.toml'"),
    "a catalog that is no text": ({"catalogs": {"a.toml": 1}}, "at '/catalogs/a.toml': got number, want string"),
    "a label that is the chart's": (
        {"podLabels": {"app.kubernetes.io/name": "x"}},
        "invalid propertyName 'app.kubernetes.io/name'",
    ),
    "a secret's name that is none": ({"tls": {"existingSecret": "Own TLS"}}, "at '/tls/existingSecret'"),
    "a duration without unit": ({"metrics": {"serviceMonitor": {"interval": "30"}}}, "at '/metrics/serviceMonitor"),
    "an unknown mode": (
        {"database": {"postgresql": {"sslMode": "verify"}}},
        "at '/database/postgresql/sslMode': value must be one of",
    ),
}


def refusal(values: Values) -> str:
    with pytest.raises(helm_python.HelmError) as refused:
        files(values)
    return str(refused.value)


@pytest.mark.parametrize(("values", "problem", "remedy"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_combination_fails_with_instructions(values: Values, problem: str, remedy: str) -> None:
    said = refusal(values)
    assert "these values cannot work together; nothing was installed" in said
    [line] = [line for line in said.splitlines() if line.startswith("* ")]
    assert problem in line
    assert remedy in line


def test_every_problem_is_told_at_once() -> None:
    said = refusal({"replicas": 2, "podDisruptionBudget": {"maxUnavailable": 2}})
    assert [line.split(" ")[1] for line in said.splitlines() if line.startswith("* ")] == [
        "image.repository",
        "replicas",
        "nothing",
        "podDisruptionBudget.maxUnavailable",
    ]


def test_the_defaults_ask_for_what_only_the_operator_knows() -> None:
    said = refusal({})
    assert [line.split(" ")[1] for line in said.splitlines() if line.startswith("* ")] == [
        "image.repository",
        "nothing",
    ]


@pytest.mark.parametrize(("values", "problem"), NONSENSE.values(), ids=list(NONSENSE))
def test_the_schema_refuses_nonsense(values: Values, problem: str) -> None:
    said = refusal({**SQLITE, **values})
    assert "values don't meet the specifications of the schema" in said
    assert problem in said


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from objects(part, f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize(("path", "schema"), list(objects(SCHEMA)), ids=[path or "root" for path, _ in objects(SCHEMA)])
def test_every_value_is_described(path: str, schema: dict[str, Any]) -> None:
    assert schema["description"].endswith(".")
    if "properties" in schema:
        assert schema["additionalProperties"] is False


def test_schema_and_defaults_list_the_same_values() -> None:
    def names(value: object, schema: dict[str, Any], path: str) -> Iterator[str]:
        yield path
        if isinstance(value, dict) and "properties" in schema and path != "settings":
            for name, part in value.items():
                yield from names(part, schema["properties"].get(name, {}), f"{path}.{name}".lstrip("."))

    described = {path for path, _ in objects(SCHEMA) if not path.startswith("settings.") and "pullSecrets." not in path}
    assert set(names(DEFAULTS, SCHEMA, "")) == described - {"global"}


BOUNDS = ("type", "minimum", "exclusiveMinimum", "maximum")
MADE_BY_THE_CHART = {"database_url", "listen", "metrics_listen", "catalog_files", "plaintext", "webhook_ca_file"} | {
    f"tls_{name}_file" for name in ("certificate", "key", "ca", "revocations")
}


def bounded(annotated: Any) -> dict[str, Any]:
    """What the schema is to say of a setting of that type."""
    kind, *checks = get_args(annotated) if get_origin(annotated) is Annotated else (annotated,)
    limits = next((check for check in checks if isinstance(check, Limits)), Limits())
    names = {int: "integer", float: "number", tuple: "array"}
    values = (names[get_origin(kind) or kind], limits.ge, limits.gt, limits.le)
    return {key: value for key, value in zip(BOUNDS, values, strict=True) if value is not None}


def test_settings_and_their_limits_are_those_of_the_master() -> None:
    """A setting that is new in master/settings.py belongs into values.schema.json, with the same limits."""
    types = get_type_hints(Settings, include_extras=True)
    wanted = {name: bounded(types[name]) for name in settings_of(Settings) if name not in MADE_BY_THE_CHART}
    offered = SCHEMA["properties"]["settings"]["properties"]
    assert {
        name: {key: described[key] for key in BOUNDS if key in described} for name, described in offered.items()
    } == wanted


@pytest.mark.parametrize("name", SETS)
def test_what_is_right_is_not_refused(name: str) -> None:
    assert resources(SETS[name])
