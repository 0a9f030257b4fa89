"""Services of every type."""

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
        {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}], "externalTrafficPolicy": "Local"},
        {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
        {
            "clusterIP": "10.96.0.20",
            "clusterIPs": ["10.96.0.20", "fd00::20"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
        },
        {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}}},
        {"sessionAffinity": "ClientIP", "internalTrafficPolicy": "Local"},
        {"selector": None},
    ],
)
def test_accepts(spec: dict[str, object]) -> None:
    assert causes(with_spec(SERVICE, **spec)) == {}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"type": "Headless"}, "spec.type", "must be"),
        ({"type": "NodePort", "clusterIP": "None"}, "spec", "only with type ClusterIP"),
        ({"externalTrafficPolicy": "Local"}, "spec", "only with type NodePort or LoadBalancer"),
        ({"sessionAffinityConfig": {}}, "spec", "only with sessionAffinity ClientIP"),
        ({"ipFamilies": ["IPv4", "IPv4"]}, "spec", "a family is there twice"),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}, "spec", "of two families"),
        ({"clusterIP": "None", "clusterIPs": ["None", "fd00::1"]}, "spec", "'None' stands alone"),
        (
            {
                "type": "NodePort",
                "ports": [
                    {"name": "a", "port": 1, "nodePort": 30000},
                    {"name": "b", "port": 2, "nodePort": 30000},
                ],
            },
            "spec",
            "the same nodePort",
        ),
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
        (
            {"ports": [{"port": 1, "nodePort": 30000}]},
            "spec",
            "nodePort may not be used when type is 'ClusterIP'",
        ),
        ({"clusterIP": "somewhere"}, "spec.clusterIP", "must be an IPv4 or IPv6 address"),
        ({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.2"]}, "spec", "must be the same as clusterIP"),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(SERVICE, **spec))[field]


def test_the_name_is_an_rfc_1035_label() -> None:
    assert causes({**SERVICE, "metadata": {"name": "1st"}}).keys() == {"metadata.name"}


def test_how_long_a_client_stays_with_an_endpoint() -> None:
    assert Service.parse(SERVICE).spec.affinity_seconds == 0
    sticky = with_spec(SERVICE, sessionAffinity="ClientIP")
    assert Service.parse(sticky).spec.affinity_seconds == 10_800
    timed = with_spec(sticky, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 7}})
    assert Service.parse(timed).spec.affinity_seconds == 7


def test_the_virtual_addresses_of_a_service() -> None:
    assert Service.parse(SERVICE).spec.addresses == ()
    assert Service.parse(with_spec(SERVICE, clusterIP="None", clusterIPs=["None"])).spec.addresses == ()
    both = with_spec(SERVICE, clusterIP="10.96.0.2", clusterIPs=["10.96.0.2", "fd00::2"])
    assert Service.parse(both).spec.addresses == ("10.96.0.2", "fd00::2")
