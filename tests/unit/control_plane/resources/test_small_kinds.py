"""Namespace, ServiceAccount, ConfigMap and EndpointSlice."""

import pytest

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.namespace import Namespace
from control_plane.resources.service_account import ServiceAccount
from tests.unit.control_plane.resources.refusal import causes, manifest

SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: catalog-1, namespace: shop, labels: {kubernetes.io/service-name: catalog}}
addressType: IPv4
ports: [{name: http, port: 8080, appProtocol: http}]
endpoints:
- addresses: [10.244.0.3]
  conditions: {ready: true}
  nodeName: node-0
  targetRef: {kind: Pod, name: catalog-x, namespace: shop, uid: u}
- addresses: [10.244.0.4]
  conditions: {ready: false, serving: false, terminating: true}
- addresses: [10.244.0.5]
"""


def test_namespace() -> None:
    accepted = manifest("{apiVersion: v1, kind: Namespace, metadata: {name: shop}, status: {}}")
    assert Namespace.parse({**accepted, "spec": {"finalizers": ["kubernetes"]}}).status.phase == "Active"
    assert "metadata.name" in causes(manifest("{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}"))


def test_service_account() -> None:
    account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a.b}, imagePullSecrets: [{name: x}]}"
    assert ServiceAccount.parse(manifest(account)).automount_service_account_token
    assert causes({**manifest(account), "secrets": []}) == {"secrets": "not supported yet"}


def test_config_map() -> None:
    accepted = manifest(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, binaryData: {k: AAE=}, data: {l: x}}"
    )
    assert causes(accepted) == {}
    assert "must be base64" in causes({**accepted, "binaryData": {"k": "?"}})["binaryData.k"]
    assert causes({**accepted, "data": {"k": "x"}}) == {"": "key k is in both data and binaryData"}
    assert causes({**accepted, "data": {"k/l": "x"}}).keys() == {"data[k/l]"}


def test_endpoint_slice() -> None:
    parsed = EndpointSlice.parse(manifest(SLICE))
    assert parsed.service_name == "catalog"
    assert [endpoint.is_ready for endpoint in parsed.endpoints] == [True, False, True]


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("IPv4", "FQDN", "addressType"),
        ("addresses: [10.244.0.3]", "addresses: []", "endpoints[0].addresses"),
        ("addresses: [10.244.0.3]", "addresses: [nowhere]", "endpoints[0].addresses[0]"),
        ("addresses: [10.244.0.3]", "addresses: ['fd00::1']", ""),
        ("port: 8080", "port: 0", "ports[0].port"),
        ("nodeName: node-0", "hints: {forZones: [{}]}", "endpoints[0].hints.forZones[0].name"),
    ],
)
def test_endpoint_slice_refusals(before: str, after: str, field: str) -> None:
    assert causes(manifest(SLICE.replace(before, after))).keys() == {field}
