"""What addresses and node ports a Service gets, keeps and loses."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from control_plane.apiserver.service_address import (
    NODE_PORTS,
    ServiceAllocator,
    ServiceRefused,
    carried_over,
    claims,
)
from control_plane.resources.manifest import Manifest, section

V4, V6 = IPv4Network("10.96.0.0/16"), IPv6Network("fd00:10:96::/112")


def service(**spec: object) -> Manifest:
    return {"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}], **spec}}


def complete(manifest: Manifest, *others: Manifest, dual: bool = False) -> Manifest:
    allocator = ServiceAllocator((V4, V6) if dual else (V4,))
    return section(allocator.complete(manifest, others), "spec")


def test_a_plain_service_gets_one_address_of_the_first_family() -> None:
    for dual in (False, True):
        spec = complete(service(), dual=dual)
        assert (spec["clusterIP"], spec["clusterIPs"]) == ("10.96.0.11", ["10.96.0.11"])
        assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


def test_both_families_where_they_are_asked_for_and_there() -> None:
    for policy in ("PreferDualStack", "RequireDualStack"):
        spec = complete(service(ipFamilyPolicy=policy), dual=True)
        assert spec["clusterIPs"] == ["10.96.0.11", "fd00:10:96::b"]
        assert spec["ipFamilies"] == ["IPv4", "IPv6"]
    assert complete(service(ipFamilyPolicy="PreferDualStack"))["clusterIPs"] == ["10.96.0.11"]
    turned = complete(service(ipFamilies=["IPv6"], ipFamilyPolicy="PreferDualStack"), dual=True)
    assert turned["clusterIPs"] == ["fd00:10:96::b", "10.96.0.11"]
    assert complete(service(ipFamilies=["IPv6"]), dual=True)["clusterIP"] == "fd00:10:96::b"
    assert complete(service(ipFamilies=["IPv6", "IPv4"]), dual=True)["ipFamilyPolicy"] == "RequireDualStack"


def test_a_headless_service_has_families_but_no_address() -> None:
    spec = complete(service(clusterIP="None", ipFamilyPolicy="PreferDualStack"), dual=True)
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
    assert spec["ipFamilies"] == ["IPv4", "IPv6"]


def test_another_name_for_a_host_gets_nothing() -> None:
    assert complete(service(type="ExternalName")) == service(type="ExternalName")["spec"]


def test_an_address_that_is_asked_for_is_given_when_it_is_free() -> None:
    asked = service(clusterIP="10.96.7.7", clusterIPs=["10.96.7.7", "fd00:10:96::7"])
    spec = complete(asked, dual=True)
    assert spec["clusterIPs"] == ["10.96.7.7", "fd00:10:96::7"]
    with pytest.raises(ServiceRefused, match=r"spec.clusterIPs\[1\]: fd00:10:96::7 is already allocated"):
        complete(service(clusterIPs=["10.96.7.8", "fd00:10:96::7"]), asked, dual=True)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"ipFamilyPolicy": "RequireDualStack"}, "not configured for dual-stack"),
        ({"ipFamilies": ["IPv6"]}, r"spec.ipFamilies\[0\]: IPv6 is not configured"),
        ({"clusterIP": "10.97.0.1"}, "spec.clusterIP: 10.97.0.1 is not a usable address"),
        ({"clusterIP": "x"}, "x is not an IP address"),
        ({"clusterIP": "10.96.0.11", "ipFamilies": ["IPv6"]}, "IPv6 is not configured"),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            "The range of valid ports is 30000-32767",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(spec: dict[str, object], said: str) -> None:
    with pytest.raises(ServiceRefused, match=said):
        complete(service(**spec))


def test_two_families_and_a_policy_of_one_contradict_each_other() -> None:
    with pytest.raises(ServiceRefused, match="SingleStack, but there are two"):
        complete(service(ipFamilyPolicy="SingleStack", ipFamilies=["IPv4", "IPv6"]), dual=True)
    with pytest.raises(ServiceRefused, match="is not an IPv6 address"):
        complete(service(clusterIP="10.96.0.11", ipFamilies=["IPv6"]), dual=True)


def test_two_networks_of_one_family_are_refused() -> None:
    with pytest.raises(ValueError, match="two families"):
        ServiceAllocator((V4, V4))


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_every_port_of_such_a_type_gets_a_node_port(kind: str) -> None:
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 30001}]
    taken = service(type="NodePort", ports=[{"port": 80, "nodePort": 30086}])
    given = complete(service(type=kind, ports=ports), taken)["ports"]
    assert isinstance(given, list)
    assert [port["nodePort"] for port in given] == [30087, 30001]
    with pytest.raises(ServiceRefused, match=r"spec.ports\[1\].nodePort: provided port is already allocated"):
        complete(service(type=kind, ports=ports), service(type=kind, ports=ports[1:]))


def test_node_ports_run_out() -> None:
    allocator = ServiceAllocator()
    taken = [service(type="NodePort", ports=[{"port": 80, "nodePort": number} for number in NODE_PORTS])]
    with pytest.raises(ServiceRefused, match="every node port"):
        allocator.complete(service(type="NodePort"), taken)


def test_a_load_balancer_may_do_without() -> None:
    spec = complete(service(type="LoadBalancer", allocateLoadBalancerNodePorts=False))
    assert spec["ports"] == [{"port": 80}]


def stored(**spec: object) -> Manifest:
    return {**service(), "spec": complete(service(**spec), dual=True)}


def test_a_service_that_is_replaced_keeps_what_it_has() -> None:
    before = stored(type="NodePort", ipFamilyPolicy="PreferDualStack")
    again = carried_over(service(type="NodePort"), before)
    assert again == before
    assert claims(again) == claims(before)


def test_a_port_is_the_same_when_its_name_is() -> None:
    before = stored(type="NodePort", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])
    known = [port["nodePort"] for port in before["spec"]["ports"]]  # type: ignore[index]
    wanted = [
        {"name": "b", "port": 82},
        {"name": "c", "port": 83},
        {"name": "a", "port": 1, "nodePort": 31000},
    ]
    ports = section(carried_over(service(type="NodePort", ports=wanted), before), "spec")["ports"]
    assert ports == [{**wanted[0], "nodePort": known[1]}, wanted[1], wanted[2]]


def test_node_ports_go_with_the_type_that_needs_them() -> None:
    before = stored(type="NodePort", externalTrafficPolicy="Cluster")
    after = carried_over({**before, "spec": {**section(before, "spec"), "type": "ClusterIP"}}, before)
    assert section(after, "spec")["ports"] == [{"port": 80}]
    assert "externalTrafficPolicy" not in section(after, "spec")


def test_addresses_go_and_come_with_the_type_that_needs_them() -> None:
    before = stored()
    named = {**section(before, "spec"), "type": "ExternalName", "externalName": "a.example"}
    gone = carried_over({**before, "spec": named}, before)
    assert "clusterIP" not in section(gone, "spec")
    back = carried_over({**gone, "spec": {**section(gone, "spec"), "type": "ClusterIP"}}, gone)
    assert "externalName" not in section(back, "spec")
    assert complete(back)["clusterIP"] == "10.96.0.11"


def test_a_second_family_is_added_and_taken_away_by_the_policy() -> None:
    single, dual = stored(), stored(ipFamilyPolicy="PreferDualStack")
    added = carried_over(service(ipFamilyPolicy="PreferDualStack"), single)
    assert claims(added) != claims(single)
    assert complete(added, dual=True)["clusterIPs"] == ["10.96.0.11", "fd00:10:96::b"]
    spec = {**section(dual, "spec"), "ipFamilyPolicy": "SingleStack"}
    removed = complete(carried_over({**dual, "spec": spec}, dual), dual=True)
    assert (removed["clusterIPs"], removed["ipFamilies"]) == (["10.96.0.11"], ["IPv4"])


def test_another_first_address_is_not_mixed_with_the_old_second() -> None:
    before = stored(ipFamilyPolicy="PreferDualStack")
    wanted = carried_over(service(clusterIP="10.96.9.9"), before)
    assert "clusterIPs" not in section(wanted, "spec")


def test_a_first_address_that_a_patch_changes_is_not_overlooked() -> None:
    before = stored(ipFamilyPolicy="PreferDualStack")
    patched = {**before, "spec": {**section(before, "spec"), "clusterIP": "10.96.9.9"}}
    after = section(carried_over(patched, before), "spec")
    assert after["clusterIPs"] == ["10.96.9.9", "fd00:10:96::b"]
