"""Service of type ClusterIP."""

import pytest

from control_plane.resources.service import Service
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

SERVICE = manifest("""
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports:
  - {name: http, port: 80, targetPort: web, appProtocol: http}
  - {name: raw, port: 9000}
  - {name: other, port: 9001, targetPort: 9002}
""")


def test_target_ports_default_to_the_port() -> None:
    assert [port.target for port in Service.parse(SERVICE).spec.ports] == ["web", 9000, 9002]


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None"},
        {"clusterIP": "None", "ports": None},
        {
            "clusterIP": "10.96.0.20",
            "clusterIPs": ["10.96.0.20"],
            "type": "ClusterIP",
            "ipFamilies": ["IPv4"],
        },
        {"sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack"},
        {"ports": [{"port": 80}]},
        {"selector": None},
    ],
)
def test_accepts(spec: dict[str, object]) -> None:
    assert causes(with_spec(SERVICE, **spec)) == {}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"type": "NodePort"}, "spec.type", "only ClusterIP and ExternalName are supported yet"),
        ({"type": "ExternalName"}, "spec", "externalName: required with type ExternalName"),
        ({"externalName": "a.example"}, "spec", "externalName: required with type ExternalName"),
        (
            {"type": "ExternalName", "externalName": "a.example", "clusterIP": "10.96.0.9"},
            "spec",
            "clusterIP: not with",
        ),
        ({"type": "ExternalName", "externalName": "A b"}, "spec.externalName", "subdomain"),
        ({"ports": []}, "spec", "at least one"),
        ({"ports": [{"port": 1}, {"port": 2, "name": "a"}]}, "spec", "needs a name"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, "spec", "same name"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}, "spec", "same number"),
        ({"ports": [{"port": 1, "nodePort": 30000}]}, "spec.ports[0].nodePort", "not supported yet"),
        ({"clusterIP": "somewhere"}, "spec.clusterIP", "must be an IPv4 or IPv6 address"),
        ({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.2"]}, "spec", "single stack"),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(SERVICE, **spec))[field]


def test_the_name_is_an_rfc_1035_label() -> None:
    assert causes({**SERVICE, "metadata": {"name": "1st"}}).keys() == {"metadata.name"}
