"""What may run and how: unprivileged, bounded, probed, and told where things are without a secret written out."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from licensemaster.daemon.settings import load
from master.cli.main import app
from master.settings import Settings
from tests.helm.charts import (
    EVERYTHING,
    POSTGRESQL,
    SETS,
    SQLITE,
    Resource,
    Values,
    container,
    containers,
    files,
    master,
    merged,
    of_kind,
    pod_templates,
    the,
    variables,
)

EVERY_SET = pytest.mark.parametrize("values", SETS.values(), ids=list(SETS))
EVERY_POD = pytest.mark.parametrize(
    "template",
    [template for values in SETS.values() for template in pod_templates(values).values()],
    ids=[f"{name}: {kind}" for name, values in SETS.items() for kind in pod_templates(values)],
)
TLS_FILES = ["tls.crt", "tls.key", "ca.crt"]


@EVERY_POD
def test_pods_are_not_root_and_ask_for_no_token(template: Resource) -> None:
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec)
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= {"emptyDir", "secret", "configMap", "projected", "persistentVolumeClaim"}


@EVERY_POD
def test_containers_can_change_nothing_but_their_volumes(template: Resource) -> None:
    for described in containers(template):
        assert described["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@EVERY_POD
def test_containers_have_bounds(template: Resource) -> None:
    for described in containers(template):
        assert set(described["resources"]["requests"]) >= {"cpu", "memory"}
        assert "memory" in described["resources"]["limits"]


@EVERY_POD
def test_mounts_have_volumes_and_volumes_are_mounted(template: Resource) -> None:
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    mounted = {mount["name"] for container in containers(template) for mount in container["volumeMounts"]}
    assert mounted - {"data"} == volumes - {"data"}
    writable = {
        m["name"] for container in containers(template) for m in container["volumeMounts"] if not m.get("readOnly")
    }
    assert writable <= {"tmp", "data"}


@EVERY_POD
def test_variables_of_kubernetes_do_not_mix_with_ours(template: Resource) -> None:
    """A Service called license-master would set LICENSE_MASTER_PORT."""
    assert template["spec"]["enableServiceLinks"] is False


@EVERY_POD
def test_arguments_are_commands_that_exist(template: Resource) -> None:
    for described in containers(template):
        commands = [described["args"]]
        commands += [described[probe]["exec"]["command"][1:] for probe in described if probe.endswith("Probe")]
        for command in commands:
            assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0


@pytest.mark.parametrize("number", ["runAsUser", "runAsGroup", "fsGroup"])
def test_the_platform_may_choose_the_numbers(number: str) -> None:
    assert pod_templates(SQLITE)["StatefulSet"]["spec"]["securityContext"][number] == 10001
    free = pod_templates(SETS["sqlite, no fixed numbers"])["StatefulSet"]["spec"]["securityContext"]
    assert number not in free


@EVERY_SET
def test_probes_show_a_certificate_and_only_readiness_asks_for_the_database(values: Values) -> None:
    serving = container(master(values)["spec"]["template"], "master")
    probes = {name: probe["exec"]["command"] for name, probe in serving.items() if name.endswith("Probe")}
    assert probes == {
        "startupProbe": ["license-master", "health", "--alive"],
        "readinessProbe": ["license-master", "health"],
        "livenessProbe": ["license-master", "health", "--alive"],
    }


@pytest.mark.parametrize(("values", "seconds"), [(SQLITE, 25), (EVERYTHING, 58)], ids=["default", "drain 42.5 s"])
def test_calls_under_way_have_time_to_end(values: Values, seconds: int) -> None:
    spec = master(values)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == seconds
    [serving] = spec["containers"]
    assert serving["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "5"]}}


@EVERY_SET
def test_the_master_understands_what_it_is_told(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = variables(container(master(values)["spec"]["template"], "master"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load(Settings, None)
    assert (settings.listen, settings.metrics_listen) == ("[::]:7600", "[::]:7601")
    for name, value in merged(values)["settings"].items():
        actual = getattr(settings, name)
        assert (list(map(str, actual)) if isinstance(actual, tuple) else actual) == value
    if merged(values)["database"]["type"] == "sqlite":
        assert settings.database_url == "sqlite:////var/lib/license-master/license-master.db"


def test_large_settings_are_written_without_exponent() -> None:
    environment = variables(container(master(EVERYTHING)["spec"]["template"], "master"))
    assert environment["LICENSE_MASTER_GRACE_SECONDS"] == "2592000"
    assert environment["LICENSE_MASTER_DRAIN_SECONDS"] == "42.5"
    assert environment["LICENSE_MASTER_WEBHOOK_NETWORKS"] == "10.1.0.0/16,fd00:1::/48"


@EVERY_SET
def test_mtls_is_always_on(values: Values) -> None:
    template = master(values)["spec"]["template"]
    serving = container(template, "master")
    environment = variables(serving)
    folder = "/etc/license-master/tls"
    assert {"name": "tls", "mountPath": folder, "readOnly": True} in serving["volumeMounts"]
    assert [environment[f"LICENSE_MASTER_TLS_{name}_FILE"] for name in ("CERTIFICATE", "KEY", "CA")] == [
        f"{folder}/{file}" for file in TLS_FILES
    ]
    assert "LICENSE_MASTER_PLAINTEXT" not in environment
    [volume] = [each["projected"] for each in template["spec"]["volumes"] if each["name"] == "tls"]
    paths = [each["path"] for source in volume["sources"] for each in source["secret"]["items"]]
    assert paths[:3] == TLS_FILES
    assert volume["defaultMode"] == 0o440


@pytest.mark.parametrize(
    ("values", "own", "authority"),
    [
        (SQLITE, "own-tls", ("own-tls", "ca.crt")),
        (POSTGRESQL, "lm-license-master-tls", ("lm-license-master-tls", "ca.crt")),
        (EVERYTHING, "lm-license-master-tls", ("pbx-ca", "bundle.pem")),
    ],
    ids=["own secret", "own authority", "issuer"],
)
def test_where_certificates_come_from(values: Values, own: str, authority: tuple[str, str]) -> None:
    [volume] = [each for each in master(values)["spec"]["template"]["spec"]["volumes"] if each["name"] == "tls"]
    first, second, *_ = [source["secret"] for source in volume["projected"]["sources"]]
    assert first["name"] == own
    assert (second["name"], second["items"][0]["key"]) == authority
    made = {resource["spec"]["secretName"] for resource in of_kind(values, "Certificate")}
    assert made == (set() if own == "own-tls" else {own})


def test_revocations_are_named_and_arrive_while_the_master_runs() -> None:
    template = master(EVERYTHING)["spec"]["template"]
    serving = container(template, "master")
    assert variables(serving)["LICENSE_MASTER_TLS_REVOCATIONS_FILE"] == "/etc/license-master/tls/revoked.crl"
    [volume] = [each for each in template["spec"]["volumes"] if each["name"] == "tls"]
    assert volume["projected"]["sources"][2:] == [
        {"secret": {"name": "pbx-crl", "items": [{"key": "revoked.crl", "path": "revoked.crl"}]}}
    ]
    assert all("subPath" not in mount for mount in serving["volumeMounts"])  # with one, updates never arrive
    assert "LICENSE_MASTER_TLS_REVOCATIONS_FILE" not in variables(
        container(master(SQLITE)["spec"]["template"], "master")
    )


def test_the_authority_of_webhooks_is_mounted_and_named() -> None:
    template = master(EVERYTHING)["spec"]["template"]
    assert variables(container(template, "master"))["LICENSE_MASTER_WEBHOOK_CA_FILE"] == (
        "/etc/license-master/webhooks/ca.crt"
    )
    [volume] = [each for each in template["spec"]["volumes"] if each["name"] == "webhook-ca"]
    assert volume["secret"] == {"secretName": "bank-ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}


def test_what_the_notes_say_to_run_in_a_pod_needs_no_certificate_of_an_operator() -> None:
    for values in (SQLITE, POSTGRESQL):
        said = files(values)["templates/NOTES.txt"]
        [command] = re.findall(r" exec .* -- license-master (.*)", said)
        assert command == "health"
        assert "port-forward" in said


def test_the_certificate_is_for_every_name_that_is_called() -> None:
    spec = the(EVERYTHING, "Certificate")["spec"]
    assert spec["issuerRef"] == {"name": "bank", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert {
        "lm-license-master.telephony.svc",
        "lm-license-master-masters.telephony.svc.cluster.local",
        "licenses.bank.example",
        "localhost",
    } <= set(spec["dnsNames"])
    assert spec["ipAddresses"] == ["127.0.0.1", "::1", "192.0.2.7"]
    assert {"server auth", "client auth"} <= set(spec["usages"])


def test_an_authority_of_ones_own_becomes_an_issuer() -> None:
    assert the(POSTGRESQL, "Issuer")["spec"] == {"ca": {"secretName": "pbx-ca"}}
    assert the(POSTGRESQL, "Certificate")["spec"]["issuerRef"]["name"] == "lm-license-master"
    assert of_kind(EVERYTHING, "Issuer") == []


@EVERY_SET
def test_no_secret_is_made_or_written_out(values: Values) -> None:
    """The database's address holds a password: it stays in the Secret it came in."""
    assert of_kind(values, "Secret") == []
    for template in pod_templates(values).values():
        for described in containers(template):
            assert "postgresql://" not in json.dumps(described)
    config = json.dumps(of_kind(values, "ConfigMap"))
    assert "LICENSE_MASTER_" not in config


@pytest.mark.parametrize("pod", ["Job", "Deployment"])
def test_the_database_of_several_masters_comes_from_a_secret(pod: str) -> None:
    for described in containers(pod_templates(EVERYTHING)[pod]):
        by_name = {variable["name"]: variable for variable in described["env"]}
        assert by_name["LICENSE_MASTER_DATABASE_URL"]["valueFrom"] == {
            "secretKeyRef": {"name": "estate-app", "key": "dsn"}
        }
        assert by_name["PGSSLMODE"]["value"] == "verify-full"
        assert Path(by_name["PGSSLROOTCERT"]["value"]).parent.as_posix() in {
            m["mountPath"] for m in described["volumeMounts"]
        }


def test_catalogs_are_mounted_named_and_roll_the_masters() -> None:
    template = master(EVERYTHING)["spec"]["template"]
    environment = variables(container(template, "master"))
    named = environment["LICENSE_MASTER_CATALOG_FILES"]
    assert named == "/etc/license-master/catalogs/a.toml,/etc/license-master/catalogs/b.toml"
    assert the(EVERYTHING, "ConfigMap", "lm-license-master-catalogs")["data"] == EVERYTHING["catalogs"]
    changed = {**EVERYTHING, "catalogs": {**EVERYTHING["catalogs"], "a.toml": 'name = "c"\n'}}
    sums = [
        master(v)["spec"]["template"]["metadata"]["annotations"]["checksum/catalogs"] for v in (EVERYTHING, changed)
    ]
    assert sums[0] != sums[1]


def test_the_image_by_tag_and_by_digest() -> None:
    images = {
        described["image"]
        for values in (SQLITE, EVERYTHING)
        for described in containers(master(values)["spec"]["template"])
    }
    assert images == {
        "registry.example/license-master:0.1.0",
        "registry.example/license-master@sha256:" + "ab" * 32,
    }


def test_where_pods_may_run() -> None:
    spec = master(EVERYTHING)["spec"]["template"]["spec"]
    for name in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"):
        assert spec[name] == EVERYTHING[name]
    assert spec["priorityClassName"] == "important"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    [spread] = master(POSTGRESQL)["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
