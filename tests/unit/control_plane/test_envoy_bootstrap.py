"""The files with which stock Envoy joins."""

import json

import yaml

from control_plane.envoy_bootstrap import EnvoyNode, bootstrap, secret_files


def _node(**changes: object) -> EnvoyNode:
    values = {
        "pod": "web-1",
        "namespace": "shop",
        "pod_ip": "10.244.0.7",
        "service_account": "web",
        "discovery_host": "control-plane.meshproxy-system.svc",
        "discovery_port": 15012,
        "secrets_dir": "/etc/sds",
    }
    return EnvoyNode(**{**values, **changes})  # type: ignore[arg-type]


def test_the_node_says_who_it_is_and_where_its_secrets_are() -> None:
    node = bootstrap(_node(labels={"app": "web"}))["node"]
    assert node == {
        "id": "sidecar~10.244.0.7~web-1.shop~shop.svc.cluster.local",
        "cluster": "web.shop",
        "metadata": {
            "NAMESPACE": "shop",
            "NAME": "web-1",
            "SERVICE_ACCOUNT": "web",
            "LABELS": {"app": "web"},
            "INSTANCE_IPS": "10.244.0.7",
            "GENERATOR": "envoy",
            "SDS_DIR": "/etc/sds",
        },
    }


def _xds_cluster(node: EnvoyNode) -> dict[str, object]:
    resources = bootstrap(node)["static_resources"]
    assert isinstance(resources, dict)
    (cluster,) = resources["clusters"]
    assert isinstance(cluster, dict)
    return cluster


def test_the_control_plane_is_resolved_or_dialled_by_address() -> None:
    assert _xds_cluster(_node())["type"] == "STRICT_DNS"
    assert _xds_cluster(_node(discovery_host="10.244.0.2"))["type"] == "STATIC"
    assert _xds_cluster(_node(discovery_host="::1"))["type"] == "STATIC"


def test_the_control_plane_must_prove_its_identity_over_tls_1_3() -> None:
    text = json.dumps(_xds_cluster(_node(trust_domain="td")))
    assert '"exact": "spiffe://td/ns/meshproxy-system/sa/control-plane"' in text
    assert '"tls_minimum_protocol_version": "TLSv1_3"' in text
    assert '"path": "/etc/sds/default.yaml"' in text
    assert '"path": "/etc/sds/rootca.yaml"' in text


def test_the_bootstrap_is_plain_data_and_admin_is_on_loopback() -> None:
    document = bootstrap(_node(admin_port=9901))
    assert yaml.safe_load(yaml.safe_dump(document)) == document
    assert document["admin"] == {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}}


def test_secrets_are_two_files_in_envoys_form() -> None:
    files = secret_files("CHAIN", "KEY", "ROOT")
    assert sorted(files) == ["default.yaml", "rootca.yaml"]
    (identity,) = files["default.yaml"]["resources"]  # type: ignore[misc]
    assert identity["name"] == "default"  # type: ignore[index]
    assert identity["tls_certificate"]["private_key"] == {"inline_string": "KEY"}  # type: ignore[index]
    (root,) = files["rootca.yaml"]["resources"]  # type: ignore[misc]
    assert root["validation_context"] == {"trusted_ca": {"inline_string": "ROOT"}}  # type: ignore[index]
