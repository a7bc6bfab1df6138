"""Whatever is rendered is what Kubernetes and the operators beside it accept."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils as kubernetes_schemas

from tests.helm.charts import CHART, NAME, SETS, Resource, Values, resources

OLDEST = re.findall(r">=(\d+\.\d+)", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])[0]
KUBERNETES = (OLDEST, "1.31", kubernetes_schemas.latest_version())
EVERY_SET = pytest.mark.parametrize("values", SETS.values(), ids=list(SETS))


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}
SECRET_KEY = _object({"name": TEXT, "key": TEXT})
TEXTS = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
TEXT_BY_NAME = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^(\d+(h|m|s))+$"}
SPECS = {
    ("cert-manager.io/v1", "Issuer"): _object({"ca": _object({"secretName": TEXT})}),
    ("cert-manager.io/v1", "Certificate"): _object(
        {
            "secretName": TEXT,
            "issuerRef": _object({"name": TEXT, "kind": {"enum": ["Issuer", "ClusterIssuer"]}, "group": TEXT}),
            "duration": DURATION,
            "renewBefore": DURATION,
            "privateKey": _object(
                {"algorithm": {"const": "ECDSA"}, "size": {"const": 256}, "rotationPolicy": {"const": "Always"}}
            ),
            "usages": TEXTS,
            "dnsNames": TEXTS,
            "ipAddresses": TEXTS,
        }
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _object(
        {
            "jobLabel": TEXT,
            "selector": _object({"matchLabels": TEXT_BY_NAME}),
            "endpoints": {
                "type": "array",
                "items": _object(
                    {
                        "port": TEXT,
                        "scheme": {"const": "https"},
                        "tlsConfig": _object(
                            {
                                "serverName": TEXT,
                                "ca": _object({"secret": SECRET_KEY}),
                                "cert": _object({"secret": SECRET_KEY}),
                                "keySecret": SECRET_KEY,
                            }
                        ),
                        "interval": DURATION,
                        "scrapeTimeout": DURATION,
                    }
                ),
                "minItems": 1,
            },
        }
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _object(
        {
            "groups": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    {
                        "name": TEXT,
                        "rules": {
                            "type": "array",
                            "items": {
                                "oneOf": [
                                    _object({"record": TEXT, "expr": TEXT}, labels=TEXT_BY_NAME),
                                    _object(
                                        {"alert": TEXT, "expr": TEXT},
                                        **{"for": DURATION, "labels": TEXT_BY_NAME, "annotations": TEXT_BY_NAME},
                                    ),
                                ]
                            },
                        },
                    },
                    interval=DURATION,
                ),
            }
        }
    ),
}
"""The part of these custom resources that the chart uses, as their operators define it; nothing else may appear."""


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """The validator reads its schemas anew for each resource, which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_schemas, "schema_contents", cache(kubernetes_schemas.schema_contents))
        yield


@EVERY_SET
def test_lint_finds_nothing(values: Values) -> None:
    report = helm_python.lint(CHART, values, strict=True, kube_version=f"v{OLDEST}.0")
    findings = [message["error"] for message in report["messages"]]
    assert report["errors"] == []
    assert findings == ["icon is recommended"]  # there is none


@EVERY_SET
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_accepts_every_resource(version: str, values: Values) -> None:
    own = [resource for resource in resources(values) if (resource["apiVersion"], resource["kind"]) not in SPECS]
    assert len(own) >= 3  # masters and two Services
    for described in own:
        kubernetes_validate.validate(described, version, strict=True)


@EVERY_SET
def test_operators_accept_their_custom_resources(values: Values) -> None:
    for resource in resources(values):
        if spec := SPECS.get((resource["apiVersion"], resource["kind"])):
            assert set(resource) == {"apiVersion", "kind", "metadata", "spec"}
            jsonschema.validate(resource["spec"], spec)


def test_every_custom_resource_is_rendered_somewhere() -> None:
    rendered = {
        (resource["apiVersion"], resource["kind"]) for values in SETS.values() for resource in resources(values)
    }
    assert set(SPECS) <= rendered


@EVERY_SET
def test_names_are_unique_and_labelled(values: Values) -> None:
    all_resources = resources(values)
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in all_resources]
    assert len(set(names)) == len(names)
    for resource in all_resources:
        labels = resource["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "lm"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert resource["metadata"]["name"].startswith(NAME)


def test_long_names_still_fit() -> None:
    values = {**SETS["postgresql"], "nameOverride": "a" * 40}
    name_length_max = 63 - len("-xxxxxxxxxx-xxxxx")  # what a Deployment adds for its pods
    assert max(len(resource["metadata"]["name"]) for resource in resources(values)) <= name_length_max + len(
        "-migration"
    )


def _schema_problems(resource: Resource) -> str:
    with pytest.raises(kubernetes_validate.ValidationError) as problem:
        kubernetes_validate.validate(resource, OLDEST, strict=True)
    return str(problem.value.message)


def test_the_validator_would_notice() -> None:
    [service] = [
        resource
        for resource in resources(SETS["sqlite"])
        if resource["metadata"]["name"] == NAME and resource["kind"] == "Service"
    ]
    service["spec"]["prots"] = service["spec"].pop("ports")
    assert "prots" in _schema_problems(service)
