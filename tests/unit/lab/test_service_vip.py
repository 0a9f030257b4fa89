"""Service VIPs become nat and filter rules."""

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from lab.addressing import SERVICE_NETWORK_6
from lab.service_vip import LocalPort, ServicePort, TransportProtocol, ruleset

SERVICES = IPv4Network("10.96.0.0/16")
NODE = IPv4Address("10.244.0.1")
VIP = IPv4Address("10.96.0.20")


def pods(count: int) -> tuple[tuple[IPv4Address, int], ...]:
    return tuple((IPv4Address("10.244.0.3") + offset, 8080) for offset in range(count))


def rules(*services: ServicePort, local_ports: tuple[LocalPort, ...] = ()) -> str:
    return ruleset(services, service_network=SERVICES, node_address=NODE, local_ports=local_ports)


def catalog(endpoints: int = 1) -> ServicePort:
    return ServicePort("shop/catalog:http", VIP, 80, pods(endpoints))


def test_traffic_of_pods_and_of_the_node_itself_is_translated() -> None:
    text = rules(catalog())
    assert "-A PREROUTING -d 10.96.0.0/16 -j LAB-SERVICES" in text
    assert "-A OUTPUT -d 10.96.0.0/16 -j LAB-SERVICES" in text
    assert re.search(r"-A LAB-SERVICES -d 10\.96\.0\.20 -p tcp -m tcp --dport 80 -j (LAB-SVC-\w+)", text)
    assert "-p tcp -j DNAT --to-destination 10.244.0.3:8080" in text


@given(count=st.integers(1, 20))
def test_every_endpoint_is_chosen_with_the_same_probability(count: int) -> None:
    balance = [line for line in rules(catalog(count)).splitlines() if "DNAT --to-destination" in line]
    assert len(balance) == count
    left = 1.0
    for line in balance:
        match = re.search(r"--probability ([\d.]+)", line)
        chance = float(match.group(1)) if match else 1.0
        assert abs(left * chance - 1 / count) < 1e-6
        left *= 1 - chance
    assert left == 0


def test_a_pod_answered_by_itself_is_seen_from_the_nodes_address() -> None:
    own = (
        "-A POSTROUTING -s 10.244.0.3 -d 10.244.0.3 -m conntrack --ctstate DNAT"
        " -j SNAT --to-source 10.244.0.1"
    )
    assert own in rules(catalog(), ServicePort("shop/other:http", VIP + 1, 80, pods(1))).splitlines()


def test_a_service_without_endpoints_is_refused_as_an_undefined_port_is() -> None:
    assert rules(catalog(0)) == rules()
    text = rules()
    assert "-A INPUT -d 10.96.0.0/16 -m conntrack --ctstate NEW -j LAB-REFUSE" in text
    assert "-A LAB-REFUSE -p tcp -j REJECT --reject-with tcp-reset" in text
    assert "-A LAB-REFUSE -j REJECT --reject-with icmp-port-unreachable" in text


def test_a_port_the_node_serves_itself_is_let_through_before_anything_is_refused() -> None:
    dns = LocalPort(IPv4Address("10.96.0.10"), 53, TransportProtocol.UDP)
    refuse = [line for line in rules(local_ports=(dns,)).splitlines() if line.startswith("-A LAB-REFUSE")]
    assert refuse[0] == "-A LAB-REFUSE -d 10.96.0.10 -p udp -m udp --dport 53 -j RETURN"


def test_the_same_services_in_another_order_give_the_same_text() -> None:
    first = ServicePort("a/x:p", VIP, 80, pods(3))
    second = ServicePort("b/y:p", VIP + 1, 53, pods(2)[::-1], TransportProtocol.UDP)
    assert rules(first, second) == rules(second, first)
    assert "-p udp -j DNAT" in rules(second)


def test_two_ports_of_a_service_have_chains_of_their_own_that_fit_iptables() -> None:
    text = rules(catalog(), ServicePort("shop/catalog:admin", VIP, 81, pods(1)))
    chains = re.findall(r"^:(LAB-SVC-\S+)", text, re.MULTILINE)
    assert len(set(chains)) == 2
    assert all(len(chain) <= 28 for chain in chains)


def test_each_table_is_committed_and_the_text_ends_in_a_newline() -> None:
    assert rules(catalog()).count("COMMIT\n") == 2


def test_a_node_port_is_open_on_the_nodes_own_addresses_and_hides_who_asks() -> None:
    text = rules(replace(catalog(2), node_port=30080))
    assert "-A OUTPUT -m addrtype --dst-type LOCAL -j LAB-NODEPORTS" in text
    assert "-A LAB-NODEPORTS -d 10.96.0.0/16 -j RETURN" in text
    outside = re.search(r"-A LAB-NODEPORTS -p tcp -m tcp --dport 30080 -j (LAB-EXT-\w+)", text)
    assert outside is not None
    marked, balanced = [line for line in text.splitlines() if line.startswith(f"-A {outside[1]} ")]
    assert marked.endswith("-j LAB-MARK")
    assert "-j LAB-SVC-" in balanced
    own = [line for line in text.splitlines() if line.startswith("-A LAB-OWN")]
    assert own == ["-A LAB-OWN -j MARK --xor-mark 0x4000", "-A LAB-OWN -j SNAT --to-source 10.244.0.1"]


def test_policies_that_keep_traffic_on_the_node_choose_among_its_endpoints() -> None:
    near = pods(1)
    text = rules(replace(catalog(3), node_port=30080, internal=near, external=near))
    assert re.search(r"--dport 80 -j LAB-INT-", text)
    assert re.search(r"-A LAB-EXT-\w+ -s 10.244.0.0/16 -j LAB-SVC-", text)
    assert re.search(r"-A LAB-EXT-\w+ -j LAB-LOC-", text)
    assert len(re.findall(r"-A LAB-LOC-.* -j DNAT", text)) == 1
    assert "DROP" not in text


def test_where_the_policy_allows_nobody_packets_are_dropped() -> None:
    text = rules(replace(catalog(3), node_port=30080, internal=(), external=()))
    assert "-A LAB-REFUSE -d 10.96.0.20 -p tcp -m tcp --dport 80 -j DROP" in text
    assert "-A INPUT -p tcp -m tcp --dport 30080 -j DROP" in text
    assert "-A LAB-SERVICES" not in text
    assert "LAB-LOC" not in text


def test_with_affinity_an_endpoint_chosen_lately_is_asked_for_first() -> None:
    text = rules(replace(catalog(2), affinity_seconds=60))
    chain = [line for line in text.splitlines() if line.startswith("-A LAB-SVC-")]
    assert ["--rcheck --seconds 60" in line for line in chain] == [True, True, False, False]
    assert len(re.findall(r"-A LAB-SEP-\w+ -m recent --name LAB-SEP-\w+ --set", text)) == 2


def test_ipv6_has_rules_of_its_own() -> None:
    pod = (IPv6Address("fd00:10:244::3"), 8080)
    service = ServicePort("shop/catalog:http", IPv6Address("fd00:10:96::20"), 80, (pod,), node_port=30080)
    text = ruleset([service], service_network=SERVICE_NETWORK_6, node_address=IPv6Address("fd00:10:244::1"))
    assert "--to-destination [fd00:10:244::3]:8080" in text
    assert "icmp6-port-unreachable" in text
    assert "-A LAB-NODEPORTS -d ::1/128 -j RETURN" in text
