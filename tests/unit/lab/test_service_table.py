"""Services and slices as packet filter ports."""

from ipaddress import IPv4Address, IPv6Address

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.manifest import Manifest
from lab.service_table import vip_ports
from lab.service_vip import ServicePort, TransportProtocol
from tests.unit.lab.builders import service

POD_A, POD_B = IPv4Address("10.244.0.7"), IPv4Address("10.244.0.8")
VIP = IPv4Address("10.96.0.7")


def slice_of(*endpoints: tuple[str, bool], name: str = "web", **fields: object) -> EndpointSlice:
    manifest: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": ready}} for ip, ready in endpoints],
        **fields,
    }
    return EndpointSlice.parse(manifest)


HTTP: Manifest = {"name": "http", "port": 80}
DNS: Manifest = {"name": "dns", "port": 53, "protocol": "UDP"}
SCTP: Manifest = {"name": "sctp", "port": 9, "protocol": "SCTP"}


def test_each_port_has_the_ready_endpoints_of_its_name() -> None:
    slices = [slice_of((str(POD_B), True), (str(POD_A), True), ("10.244.0.9", False))]
    assert vip_ports([service(HTTP, DNS, SCTP)], slices) == [
        ServicePort("shop/web:http", VIP, 80, ((POD_A, 8080), (POD_B, 8080))),
        ServicePort("shop/web:dns", VIP, 53, ((POD_A, 53), (POD_B, 53)), TransportProtocol.UDP),
    ]


def test_a_service_without_endpoints_has_a_port_that_refuses() -> None:
    assert vip_ports([service(HTTP)], []) == [ServicePort("shop/web:http", VIP, 80, ())]


def test_an_unnamed_port_matches_the_unnamed_port_of_the_slice() -> None:
    slices = [slice_of((str(POD_A), True), ports=[{"port": 8080}])]
    [port] = vip_ports([service({"port": 80})], slices)
    assert (port.name, port.endpoints) == ("shop/web:80", ((POD_A, 8080),))


def test_slices_of_nobody_and_of_ipv6_are_passed_over() -> None:
    v6 = slice_of(("fd00::1", True), name="six", addressType="IPv6")
    stray = EndpointSlice.parse(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "stray", "namespace": "shop"},
            "addressType": "IPv4",
        }
    )
    assert vip_ports([service(HTTP)], [v6, stray])[0].endpoints == ()


def test_a_headless_service_has_no_port() -> None:
    slices = [slice_of((str(POD_B), True), (str(POD_A), True))]
    assert vip_ports([service(HTTP, clusterIP="None")], slices) == []


def test_each_family_has_the_endpoints_of_its_slices() -> None:
    six = IPv6Address("fd00:10:96::7")
    both = service(HTTP, clusterIPs=[str(VIP), str(six)])
    slices = [
        slice_of((str(POD_A), True)),
        slice_of(("fd00:10:244::7", True), name="six", addressType="IPv6"),
    ]
    first, second = vip_ports([both], slices)
    assert (first.address, first.endpoints) == (VIP, ((POD_A, 8080),))
    assert (second.address, second.endpoints) == (six, ((IPv6Address("fd00:10:244::7"), 8080),))


def test_policies_of_a_service_go_into_its_ports() -> None:
    ready: Manifest = {"ready": True}
    near: Manifest = {"addresses": [str(POD_A)], "conditions": ready, "nodeName": "a"}
    far: Manifest = {"addresses": [str(POD_B)], "conditions": ready, "nodeName": "b"}
    slices = [slice_of(endpoints=[near, far])]
    port: Manifest = {**HTTP, "nodePort": 30080}
    local = {"internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local"}
    [found] = vip_ports(
        [service(port, type="NodePort", sessionAffinity="ClientIP", **local)], slices, node="a"
    )
    assert (found.node_port, found.affinity_seconds) == (30080, 10_800)
    assert len(found.endpoints) == 2
    assert found.internal == found.external == ((POD_A, 8080),)


def test_endpoints_that_leave_and_still_answer_are_better_than_none() -> None:
    leaving: Manifest = {"ready": False, "serving": True, "terminating": True}
    gone: Manifest = {"ready": False, "serving": False, "terminating": True}
    endpoints: list[Manifest] = [
        {"addresses": [str(POD_A)], "conditions": leaving},
        {"addresses": [str(POD_B)], "conditions": gone},
    ]
    assert vip_ports([service(HTTP)], [slice_of(endpoints=endpoints)])[0].endpoints == ((POD_A, 8080),)
    endpoints.append({"addresses": ["10.244.0.9"], "conditions": {"ready": True}})
    assert vip_ports([service(HTTP)], [slice_of(endpoints=endpoints)])[0].endpoints == (
        (IPv4Address("10.244.0.9"), 8080),
    )
