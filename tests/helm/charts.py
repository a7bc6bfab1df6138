"""The chart, rendered by Helm's own code without a cluster, and what the tests ask of the result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "helm" / "license-master"
NAMESPACE = "telephony"
RELEASE = "lm"
NAME = "lm-license-master"

Resource = dict[str, Any]
Values = dict[str, Any]

SQLITE: Values = {
    "image": {"repository": "registry.example/license-master"},
    "tls": {"existingSecret": "own-tls"},
}
POSTGRESQL: Values = {
    "image": {"repository": "registry.example/license-master"},
    "replicas": 3,
    "database": {"type": "postgresql", "postgresql": {"existingSecret": "estate-app"}},
    "tls": {"certManager": {"caSecret": "pbx-ca"}},
}
EVERYTHING: Values = {
    "fullnameOverride": NAME,
    "image": {
        "repository": "registry.example/license-master",
        "digest": "sha256:" + "ab" * 32,
        "pullSecrets": [{"name": "registry"}],
    },
    "replicas": 5,
    "database": {
        "type": "postgresql",
        "postgresql": {
            "existingSecret": "estate-app",
            "key": "dsn",
            "sslMode": "verify-full",
            "caSecret": {"name": "estate-ca"},
        },
    },
    "tls": {
        "certManager": {
            "issuerRef": {"name": "bank", "kind": "ClusterIssuer"},
            "dnsNames": ["licenses.bank.example"],
            "ipAddresses": ["192.0.2.7"],
        },
        "ca": {"existingSecret": "pbx-ca", "key": "bundle.pem"},
        "revocations": {"existingSecret": "pbx-crl"},
    },
    "webhooks": {"ca": {"existingSecret": "bank-ca", "key": "root.pem"}},
    "settings": {
        "ttl_seconds": 3600,
        "grace_seconds": 2_592_000,
        "renew_jitter": 0.25,
        "drain_seconds": 42.5,
        "webhook_networks": ["10.1.0.0/16", "fd00:1::/48"],
    },
    "catalogs": {"b.toml": 'name = "b"\n', "a.toml": 'name = "a"\n'},
    "service": {
        "type": "LoadBalancer",
        "port": 443,
        "nodePort": 30760,
        "annotations": {"example.com/internal": "true"},
        "loadBalancerClass": "example.com/inner",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "ipFamilyPolicy": "PreferDualStack",
        "externalTrafficPolicy": "Local",
    },
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "PBX"}},
    },
    "networkPolicy": {
        "callers": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "scrapers": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        "database": [{"podSelector": {"matchLabels": {"cnpg.io/cluster": "estate"}}}],
        "databasePorts": [5432, 6432],
        "extraEgress": [{"ports": [{"port": 443}]}],
    },
    "serviceAccount": {"annotations": {"example.com/role": "none"}},
    "podAnnotations": {"example.com/team": "voice"},
    "podLabels": {"team": "voice"},
    "priorityClassName": "important",
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "voice", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
}
SETS: Mapping[str, Values] = {
    "sqlite": SQLITE,
    "sqlite, own claim": {
        **SQLITE,
        "database": {"sqlite": {"persistence": {"existingClaim": "licenses"}}},
        "serviceAccount": {"name": "pbx"},
        "networkPolicy": {"enabled": False},
        "service": {"type": "NodePort"},
    },
    "sqlite, no fixed numbers": {
        **SQLITE,
        "securityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        "database": {"create": True, "sqlite": {"persistence": {"storageClassName": "fast", "size": "20Gi"}}},
    },
    "postgresql": POSTGRESQL,
    "postgresql, one master": {**POSTGRESQL, "replicas": 1},
    "everything": EVERYTHING,
}


@cache
def _chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def files(values: Values) -> dict[str, str]:
    """Rendered templates by path within the chart.

    Raises:
        helm_python.HelmError: the chart refuses the values.
    """
    return dict(_rendered(json.dumps(values)))


@cache
def _rendered(values: str) -> Mapping[str, str]:
    """The same, once for what many tests look at."""
    rendered = _chart().render(json.loads(values), name=RELEASE, namespace=NAMESPACE)
    return {path.partition("/")[2]: text for path, text in rendered.items()}


def resources(values: Values) -> list[Resource]:
    """All that would be sent to the cluster."""
    texts = (text for path, text in files(values).items() if path.endswith(".yaml"))
    return [each for text in texts for each in yaml.load_all(text, yaml.CSafeLoader) if each is not None]


def merged(values: Values) -> Values:
    """The values that templates see."""
    return _chart().merge_values(values)


def of_kind(values: Values, *kinds: str) -> list[Resource]:
    return [resource for resource in resources(values) if resource["kind"] in kinds]


def the(values: Values, kind: str, name: str = NAME) -> Resource:
    [collected] = [resource for resource in of_kind(values, kind) if resource["metadata"]["name"] == name]
    return collected


def master(values: Values) -> Resource:
    """What runs the masters."""
    [actual] = of_kind(values, "Deployment", "StatefulSet")
    return actual


def pod_templates(values: Values) -> dict[str, Resource]:
    """The template of every pod that could run, by what makes it."""
    return {
        resource["kind"]: resource["spec"]["template"]
        for resource in of_kind(values, "Deployment", "StatefulSet", "Job")
    }


def containers(template: Resource) -> Iterator[Resource]:
    yield from template["spec"].get("initContainers", ())
    yield from template["spec"]["containers"]


def container(template: Resource, name: str) -> Resource:
    [collected] = [container for container in containers(template) if container["name"] == name]
    return collected


def variables(container: Resource) -> dict[str, str]:
    """Variables with a value that is written out."""
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
