"""Pod in, pod with a sidecar out."""

import copy
import json

import pytest

from injector.errors import InjectionError
from injector.patch import Manifest, inject, is_wanted
from injector.template import InjectorSettings

ENABLED: Manifest = {"metadata": {"name": "shop", "labels": {"meshproxy.io/injection": "enabled"}}}
PLAIN: Manifest = {"metadata": {"name": "shop"}}


def pod(**metadata: object) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "catalog-1", "namespace": "shop", "labels": {"app": "catalog"}, **metadata},
        "spec": {
            "serviceAccountName": "catalog",
            "initContainers": [{"name": "migrate", "command": ["true"]}],
            "containers": [{"name": "app", "command": ["serve"]}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }


def dig(value: object, *path: str | int) -> object:
    """The value under a path of keys and indexes."""
    for step in path:
        if isinstance(value, dict):
            value = value[step]
        else:
            assert isinstance(value, list)
            assert isinstance(step, int)
            value = value[step]
    return value


def names(patched: Manifest, field: str) -> list[object]:
    objects = dig(patched, "spec", field)
    assert isinstance(objects, list)
    return [each["name"] for each in objects]


def test_interception_and_sidecar_come_before_the_apps_own_init_containers() -> None:
    patched = inject(pod(), ENABLED)
    assert names(patched, "initContainers") == ["meshproxy-init", "meshproxy", "migrate"]
    assert names(patched, "containers") == ["app"]
    assert names(patched, "volumes") == ["data", "meshproxy-identity", "meshproxy-podinfo", "meshproxy-run"]


def test_the_pod_is_marked_as_meshed_and_keeps_its_labels() -> None:
    metadata = dig(inject(pod(annotations={"a": "b"}), ENABLED), "metadata")
    assert dig(metadata, "labels") == {"app": "catalog", "meshproxy.io/tls-mode": "mutual"}
    annotations = dig(metadata, "annotations")
    assert isinstance(annotations, dict)
    assert annotations.pop("meshproxy.io/status")
    assert annotations == {
        "a": "b",
        "kubectl.kubernetes.io/default-container": "app",
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "15020",
        "prometheus.io/path": "/stats/prometheus",
    }


def test_the_input_is_not_changed_and_the_output_shares_nothing_with_it() -> None:
    original = pod()
    before = copy.deepcopy(original)
    patched = inject(original, ENABLED)
    container = dig(patched, "spec", "containers", 0)
    assert isinstance(container, dict)
    container["name"] = "changed"
    assert original == before


def test_injecting_again_changes_nothing() -> None:
    once = inject(pod(), ENABLED)
    assert inject(once, ENABLED) is once


def test_the_patched_pod_is_json() -> None:
    patched = inject(pod(), ENABLED)
    assert json.loads(json.dumps(patched)) == patched


def test_the_init_container_may_change_the_network_and_nothing_else() -> None:
    init = dig(inject(pod(), ENABLED), "spec", "initContainers", 0)
    assert dig(init, "command") == [
        "python",
        "-m",
        "meshproxy.interception",
        "--proxy-uid=1337",
        "--proxy-gid=1337",
        "--dns-capture=true",
    ]
    context = dig(init, "securityContext")
    assert dig(context, "capabilities") == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
    assert (dig(context, "runAsUser"), dig(context, "allowPrivilegeEscalation")) == (0, False)


def test_traffic_annotations_reach_the_init_container() -> None:
    patched = inject(pod(annotations={"traffic.meshproxy.io/excludeInboundPorts": "9000"}), ENABLED)
    command = dig(patched, "spec", "initContainers", 0, "command")
    assert isinstance(command, list)
    assert command[-1] == "--exclude-inbound-ports=9000"


def test_the_sidecar_is_a_native_sidecar_without_privileges() -> None:
    sidecar = dig(inject(pod(), ENABLED), "spec", "initContainers", 1)
    assert dig(sidecar, "restartPolicy") == "Always"
    assert dig(sidecar, "command") == ["python", "-m", "meshproxy"]
    context = dig(sidecar, "securityContext")
    assert (dig(context, "runAsUser"), dig(context, "runAsGroup")) == (1337, 1337)
    assert dig(context, "capabilities") == {"drop": ["ALL"]}
    for probe in ("startupProbe", "readinessProbe"):
        assert dig(sidecar, probe, "httpGet") == {"path": "/healthz/ready", "port": 15021}


def environment(patched: Manifest) -> dict[object, object]:
    entries = dig(patched, "spec", "initContainers", 1, "env")
    assert isinstance(entries, list)
    return {each["name"]: each.get("value") or each["valueFrom"]["fieldRef"]["fieldPath"] for each in entries}


def test_the_sidecar_is_told_who_it_is_and_where_the_control_plane_is() -> None:
    assert environment(inject(pod(), ENABLED)) == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
        "MESHPROXY_DISCOVERY_ADDRESS": "control-plane.meshproxy-system.svc:15012",
        "MESHPROXY_SIGNING_ADDRESS": "control-plane.meshproxy-system.svc:15011",
        "MESHPROXY_TRUST_DOMAIN": "cluster.local",
        "MESHPROXY_LOG_LEVEL": "info",
        "MESHPROXY_DNS_CAPTURE": "true",
    }


def test_a_pod_may_keep_its_dns_to_itself() -> None:
    patched = inject(pod(annotations={"sidecar.meshproxy.io/dnsCapture": "false"}), ENABLED)
    assert "--dns-capture=true" not in dig(patched, "spec", "initContainers", 0, "command")  # type: ignore[operator]
    assert "MESHPROXY_DNS_CAPTURE" not in environment(patched)


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        ({"kind": "Deployment", "name": "catalog-v1", "controller": True}, {}, "catalog-v1"),
        (
            {"kind": "ReplicaSet", "name": "catalog-v1-5d9f", "controller": True},
            {"pod-template-hash": "5d9f"},
            "catalog-v1",
        ),
        ({"kind": "ReplicaSet", "name": "alone", "controller": True}, {}, "alone"),
        ({"kind": "Deployment", "name": "catalog-v1"}, {}, None),
    ],
)
def test_the_workload_is_what_the_pod_belongs_to(
    owner: dict[str, object], labels: dict[str, str], workload: str | None
) -> None:
    patched = inject(pod(ownerReferences=[owner], labels=labels), ENABLED)
    assert environment(patched).get("MESHPROXY_WORKLOAD_NAME") == workload


def test_credential_trust_and_labels_are_mounted_where_the_sidecar_looks() -> None:
    patched = inject(pod(), ENABLED)
    identity, podinfo, run = (dig(patched, "spec", "volumes", index) for index in (1, 2, 3))
    assert dig(identity, "projected", "sources") == [
        {"serviceAccountToken": {"audience": "meshproxy-ca", "expirationSeconds": 3600, "path": "token"}},
        {
            "configMap": {
                "name": "meshproxy-root-bundle",
                "items": [{"key": "root-cert.pem", "path": "root-cert.pem"}],
            }
        },
    ]
    assert dig(podinfo, "downwardAPI", "items", 0, "fieldRef", "fieldPath") == "metadata.labels"
    assert dig(run, "emptyDir") == {"medium": "Memory"}
    mounts = dig(patched, "spec", "initContainers", 1, "volumeMounts")
    assert isinstance(mounts, list)
    assert {each["name"]: each["mountPath"] for each in mounts} == {
        "meshproxy-identity": "/var/run/secrets/meshproxy.io",
        "meshproxy-podinfo": "/etc/podinfo",
        "meshproxy-run": "/var/run/meshproxy",
    }


def test_settings_replace_image_interpreter_addresses_and_user() -> None:
    settings = InjectorSettings(
        image="registry/mesh:1",
        python="/venv/bin/python",
        proxy_uid=2000,
        proxy_gid=2001,
        discovery_address="cp:1",
        signing_address="cp:2",
        trust_domain="example.org",
        log_level="debug",
    )
    patched = inject(pod(), ENABLED, settings)
    init, sidecar = (dig(patched, "spec", "initContainers", index) for index in (0, 1))
    assert dig(init, "command", 0) == dig(sidecar, "command", 0) == "/venv/bin/python"
    assert dig(init, "command", 3) == "--proxy-uid=2000"
    assert dig(init, "image") == dig(sidecar, "image") == "registry/mesh:1"
    assert dig(sidecar, "securityContext", "runAsGroup") == 2001
    found = environment(patched)
    assert (found["MESHPROXY_DISCOVERY_ADDRESS"], found["MESHPROXY_TRUST_DOMAIN"]) == ("cp:1", "example.org")


@pytest.mark.parametrize(
    ("namespace", "metadata", "wanted"),
    [
        (ENABLED, {}, True),
        (PLAIN, {}, False),
        ({}, {}, False),
        (PLAIN, {"labels": {"meshproxy.io/inject": "true"}}, True),
        (PLAIN, {"annotations": {"meshproxy.io/inject": "true"}}, True),
        (ENABLED, {"labels": {"meshproxy.io/inject": "false"}}, False),
        (ENABLED, {"annotations": {"meshproxy.io/inject": "false"}}, False),
        (ENABLED, {"annotations": {"meshproxy.io/status": "injected"}}, False),
    ],
)
def test_who_gets_a_sidecar(namespace: Manifest, metadata: dict[str, object], wanted: bool) -> None:
    original = pod(**metadata)
    assert is_wanted(original, namespace) is wanted
    assert (inject(original, namespace) is original) is not wanted


def test_a_pod_on_the_hosts_network_gets_none_even_when_it_asks() -> None:
    original = pod(labels={"meshproxy.io/inject": "true"})
    original["spec"] = {"hostNetwork": True, "containers": []}
    assert inject(original, ENABLED) is original


def test_an_unclear_wish_is_refused() -> None:
    with pytest.raises(
        InjectionError, match=r"shop/catalog-1: meshproxy\.io/inject is 'yes'; use \"true\" or"
    ):
        inject(pod(labels={"meshproxy.io/inject": "yes"}), ENABLED)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"containers": [{"name": "meshproxy"}]},
            "the container name 'meshproxy' is the sidecar's; rename it, or give it image 'auto'",
        ),
        (
            {"containers": [], "volumes": [{"name": "meshproxy-run"}]},
            "the volume name 'meshproxy-run' is the sidecar's; rename it",
        ),
    ],
)
def test_a_pod_that_cannot_have_a_sidecar_is_refused_with_the_mend(spec: Manifest, message: str) -> None:
    with pytest.raises(InjectionError, match=message):
        inject({**pod(), "spec": spec}, ENABLED)


def test_a_pod_with_a_generated_name_is_named_by_its_prefix() -> None:
    with pytest.raises(InjectionError, match="pod default/catalog-: "):
        inject({"metadata": {"generateName": "catalog-", "labels": {"meshproxy.io/inject": "1"}}}, ENABLED)


def test_a_bare_pod_gets_everything_it_lacks() -> None:
    patched = inject({"metadata": {"name": "bare"}, "spec": {"containers": [{"name": "app"}]}}, ENABLED)
    assert names(patched, "initContainers") == ["meshproxy-init", "meshproxy"]
    assert len(names(patched, "volumes")) == 3


GATEWAY = "gateway.networking.k8s.io/gateway-name"


def gateway_pod(*containers: str) -> Manifest:
    spec = {
        "serviceAccountName": "edge",
        "containers": [{"name": name, "image": "auto"} for name in containers],
    }
    return {"metadata": {"name": "edge-1", "namespace": "shop", "labels": {GATEWAY: "edge"}}, "spec": spec}


def test_a_pod_of_a_gateway_becomes_the_proxy_without_interception() -> None:
    patched = inject(gateway_pod("meshproxy"), ENABLED)
    assert names(patched, "containers") == ["meshproxy"]
    assert "initContainers" not in patched["spec"]  # type: ignore[operator]
    assert dig(patched, "spec", "containers", 0, "command") == ["python", "-m", "meshproxy"]
    assert {"name": "MESHPROXY_ROLE", "value": "gateway"} in dig(patched, "spec", "containers", 0, "env")  # type: ignore[operator]
    assert "restartPolicy" not in dig(patched, "spec", "containers", 0)  # type: ignore[operator]
    assert dig(patched, "metadata", "labels") == {GATEWAY: "edge"}
    assert inject(patched, ENABLED) is patched


def test_the_pod_of_a_gateway_says_ports_and_resources_itself() -> None:
    asked = gateway_pod("meshproxy")
    container = dig(asked, "spec", "containers", 0)
    assert isinstance(container, dict)
    container["ports"] = [{"containerPort": 443}]
    container["resources"] = {"limits": {"cpu": "1500m"}}
    patched = inject(asked, ENABLED)
    ports = dig(patched, "spec", "containers", 0, "ports")
    assert isinstance(ports, list)
    assert [port["containerPort"] for port in ports] == [15090, 443]
    assert dig(patched, "spec", "containers", 0, "resources") == {
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"cpu": "1500m"},
    }
    assert {"name": "MESHPROXY_CONCURRENCY", "value": "2"} in dig(patched, "spec", "containers", 0, "env")  # type: ignore[operator]


@pytest.mark.parametrize("containers", [(), ("app",), ("meshproxy", "app")])
def test_the_pod_of_a_gateway_has_no_other_container(containers: tuple[str, ...]) -> None:
    with pytest.raises(InjectionError, match="must have one container, named meshproxy"):
        inject(gateway_pod(*containers), ENABLED)
