"""How the parts stand to each other: workload and database, migration, Services, policies, budget, monitoring."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.helm.charts import (
    CHART,
    EVERYTHING,
    NAME,
    POSTGRESQL,
    SETS,
    SQLITE,
    Resource,
    Values,
    container,
    files,
    master,
    of_kind,
    pod_templates,
    the,
)

EVERY_SET = pytest.mark.parametrize("values", SETS.values(), ids=list(SETS))
HEADLESS = f"{NAME}-masters"


def labels_of(template: Resource) -> dict[str, str]:
    labels: dict[str, str] = template["metadata"]["labels"]
    return labels


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def hook(resource: Resource) -> dict[str, str]:
    annotations: dict[str, str] = resource["metadata"].get("annotations", {})
    return {key: value for key, value in annotations.items() if key.startswith("helm.sh/hook")}


def test_sqlite_never_runs_two_pods_over_one_file() -> None:
    workload = master(SQLITE)
    assert (workload["kind"], workload["spec"]["replicas"]) == ("StatefulSet", 1)
    [claim] = workload["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Gi"}}}
    assert workload["spec"]["serviceName"] in {resource["metadata"]["name"] for resource in of_kind(SQLITE, "Service")}


def test_sqlite_on_a_claim_of_ones_own() -> None:
    workload = master(SETS["sqlite, own claim"])
    assert "volumeClaimTemplates" not in workload["spec"]
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "licenses"}} in volumes


def test_storage_class_and_size() -> None:
    [claim] = master(SETS["sqlite, no fixed numbers"])["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"


def test_sqlite_is_upgraded_by_the_only_pod_that_may_open_it() -> None:
    assert of_kind(SQLITE, "Job") == []
    template = master(SQLITE)["spec"]["template"]
    [upgrade] = template["spec"]["initContainers"]
    serving = container(template, "master")
    assert upgrade["args"] == ["db", "upgrade"]
    data = {"name": "data", "mountPath": "/var/lib/license-master"}
    assert data in upgrade["volumeMounts"]
    assert data in serving["volumeMounts"]
    assert upgrade["env"][0] == serving["env"][0]


def test_several_masters_are_equal_and_replaced_one_by_one() -> None:
    workload = master(POSTGRESQL)
    assert (workload["kind"], workload["spec"]["replicas"]) == ("Deployment", 3)
    assert workload["spec"]["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert "initContainers" not in workload["spec"]["template"]["spec"]


def test_postgresql_is_upgraded_before_everything_else() -> None:
    job = the(POSTGRESQL, "Job", f"{NAME}-migration")
    assert hook(job)["helm.sh/hook"] == "pre-install,pre-upgrade"
    [upgrade] = job["spec"]["template"]["spec"]["containers"]
    assert upgrade["args"] == ["db", "upgrade"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["activeDeadlineSeconds"] == 600


@pytest.mark.parametrize("values", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_an_empty_estate_is_begun_on_purpose_only(values: Values) -> None:
    first = {**values, "database": {**values.get("database", {}), "create": True}}
    for actual, arguments in ((values, ["db", "upgrade"]), (first, ["db", "upgrade", "--create"])):
        [upgrade] = [
            each
            for template in pod_templates(actual).values()
            for each in (*template["spec"].get("initContainers", []), *template["spec"]["containers"])
            if each["name"] == "upgrade"
        ]
        assert upgrade["args"] == arguments


def test_the_migration_uses_nothing_that_comes_after_it() -> None:
    made_later = {
        resource["metadata"]["name"]
        for resource in of_kind(EVERYTHING, "ServiceAccount", "ConfigMap", "Certificate")
        if not hook(resource)
    }
    spec = pod_templates(EVERYTHING)["Job"]["spec"]
    assert "serviceAccountName" not in spec
    assert {volume["name"] for volume in spec["volumes"]} == {"tmp", "database-ca"}
    assert not made_later & {volume.get("secret", {}).get("secretName") for volume in spec["volumes"]}


def test_the_migration_is_let_through_before_it_runs() -> None:
    job, policy = the(EVERYTHING, "Job", f"{NAME}-migration"), the(EVERYTHING, "NetworkPolicy", f"{NAME}-migration")
    assert hook(policy)["helm.sh/hook"] == hook(job)["helm.sh/hook"]
    assert int(hook(policy)["helm.sh/hook-weight"]) < int(hook(job)["helm.sh/hook-weight"])
    assert selects(policy["spec"]["podSelector"]["matchLabels"], labels_of(job["spec"]["template"]))
    assert policy["spec"]["ingress"] == []
    assert policy["spec"]["egress"][1]["to"] == EVERYTHING["networkPolicy"]["database"]


@EVERY_SET
def test_everything_that_selects_selects_the_masters_and_nothing_else(values: Values) -> None:
    templates = pod_templates(values)
    masters = labels_of(templates[master(values)["kind"]])
    selectors = [resource["spec"]["selector"] for resource in of_kind(values, "Service")]
    selectors += [resource["spec"]["selector"]["matchLabels"] for resource in of_kind(values, "PodDisruptionBudget")]
    selectors.append(master(values)["spec"]["selector"]["matchLabels"])
    assert len(selectors) >= 3
    for selector in selectors:
        assert selects(selector, masters)
        if "Job" in templates:
            assert not selects(selector, labels_of(templates["Job"]))


@EVERY_SET
def test_services_lead_to_ports_that_the_masters_have(values: Values) -> None:
    ports = {
        port["name"]: port["containerPort"] for port in container(master(values)["spec"]["template"], "master")["ports"]
    }
    assert ports == {"grpc": 7600, "metrics": 7601}
    for service in of_kind(values, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports)


@EVERY_SET
def test_the_service_that_may_be_public_has_no_metrics(values: Values) -> None:
    assert [port["name"] for port in the(values, "Service")["spec"]["ports"]] == ["grpc"]
    headless = the(values, "Service", HEADLESS)["spec"]
    assert headless["clusterIP"] == "None"
    assert {port["name"] for port in headless["ports"]} == {"grpc", "metrics"}


def test_a_load_balancer() -> None:
    service = the(EVERYTHING, "Service")
    assert service["metadata"]["annotations"] == {"example.com/internal": "true"}
    assert service["spec"] | {"selector": None} == {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "ipFamilyPolicy": "PreferDualStack",
        "loadBalancerClass": "example.com/inner",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "ports": [{"name": "grpc", "port": 443, "targetPort": "grpc", "nodePort": 30760}],
        "selector": None,
    }


def policy(values: Values) -> dict[str, Any]:
    spec: dict[str, Any] = the(values, "NetworkPolicy")["spec"]
    return spec


@EVERY_SET
def test_the_policy_covers_every_port_of_the_masters(values: Values) -> None:
    if values.get("networkPolicy", {}).get("enabled") is False:
        assert of_kind(values, "NetworkPolicy") == []
        return
    spec = policy(values)
    template = master(values)["spec"]["template"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert selects(spec["podSelector"]["matchLabels"], labels_of(template))
    allowed = {port["port"]: rule.get("from") for rule in spec["ingress"] for port in rule["ports"]}
    assert set(allowed) == {port["name"] for port in container(template, "master")["ports"]}
    assert allowed["metrics"]


def test_anybody_may_call_but_only_monitoring_may_scrape() -> None:
    calls, metrics = policy(SQLITE)["ingress"]
    assert "from" not in calls
    assert metrics["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_callers_and_scrapers_of_ones_own() -> None:
    calls, metrics = policy(EVERYTHING)["ingress"]
    assert calls["from"] == EVERYTHING["networkPolicy"]["callers"]
    assert metrics["from"] == EVERYTHING["networkPolicy"]["scrapers"]


def test_masters_reach_the_database_and_nothing_else() -> None:
    assert policy(SQLITE)["egress"] == []
    dns, database = policy(POSTGRESQL)["egress"]
    assert {(port["port"], port["protocol"]) for port in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert database == {"ports": [{"port": 5432}]}
    _, database, other = policy(EVERYTHING)["egress"]
    assert database == {"ports": [{"port": 5432}, {"port": 6432}], "to": EVERYTHING["networkPolicy"]["database"]}
    assert [other] == EVERYTHING["networkPolicy"]["extraEgress"]


@pytest.mark.parametrize(
    ("replicas", "enabled", "made"), [(1, "auto", 0), (2, "auto", 1), (2, True, 1), (2, False, 0), (1, False, 0)]
)
def test_a_disruption_budget_from_two_masters_on(replicas: int, enabled: str | bool, made: int) -> None:
    values = {**POSTGRESQL, "replicas": replicas, "podDisruptionBudget": {"enabled": enabled}}
    budgets = of_kind(values, "PodDisruptionBudget")
    assert [budget["spec"]["maxUnavailable"] for budget in budgets] == [1] * made


def test_an_account_of_ones_own() -> None:
    own = SETS["sqlite, own claim"]
    assert of_kind(own, "ServiceAccount") == []
    assert master(own)["spec"]["template"]["spec"]["serviceAccountName"] == "pbx"
    assert the(SQLITE, "ServiceAccount")["automountServiceAccountToken"] is False


def test_monitoring_is_off_unless_asked_for() -> None:
    assert of_kind(SQLITE, "ServiceMonitor", "PrometheusRule", "ConfigMap") == []


def test_prometheus_scrapes_every_master_once() -> None:
    spec = the(EVERYTHING, "ServiceMonitor")["spec"]
    selected = [
        resource["metadata"]["name"]
        for resource in of_kind(EVERYTHING, "Service")
        if selects(spec["selector"]["matchLabels"], resource["metadata"]["labels"])
    ]
    assert selected == [HEADLESS]
    [endpoint] = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in the(EVERYTHING, "Service", HEADLESS)["spec"]["ports"]}
    shown = endpoint["tlsConfig"]
    assert (endpoint["scheme"], shown["serverName"]) == ("https", NAME)
    secrets = {shown["ca"]["secret"]["name"], shown["cert"]["secret"]["name"], shown["keySecret"]["name"]}
    assert secrets == {"license-master-scraper"}


def test_rules_and_dashboard_arrive_unchanged() -> None:
    rules = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    assert the(EVERYTHING, "PrometheusRule")["spec"] == rules
    dashboard = the(EVERYTHING, "ConfigMap", f"{NAME}-dashboard")
    assert json.loads(dashboard["data"]["license-master.json"]) == json.loads(
        (CHART / "files" / "dashboard.json").read_text()
    )
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert the(EVERYTHING, kind)["metadata"]["labels"]["release"] == "prometheus"


@EVERY_SET
def test_the_notes_name_what_was_installed(values: Values) -> None:
    notes = files(values)["templates/NOTES.txt"]
    assert f"{master(values)['kind'].lower()}/{NAME}" in notes


EXAMPLES = re.findall(r"```yaml\n(.*?)```", (CHART.parent / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize(("example", "kind"), list(zip(EXAMPLES, ["StatefulSet", "Deployment"], strict=True)))
def test_the_examples_of_the_readme_install(example: str, kind: str) -> None:
    assert master(yaml.safe_load(example))["kind"] == kind
