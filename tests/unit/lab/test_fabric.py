"""What joins nodes, as commands; that they work is seen in the e2e tests."""

from pathlib import Path

from lab.fabric import fabric_commands, forwarding_entries, link_commands, node_file, peer_commands
from lab.lab_file import Join, LabPlan, NodePlan

NODES = tuple(NodePlan(name, number) for number, name in enumerate(("node", "two", "three")))


def plan(join: Join, *, is_dual_stack: bool = False) -> LabPlan:
    return LabPlan(NODES, join, is_dual_stack)


def test_every_node_has_a_port_of_the_switch() -> None:
    commands = fabric_commands(plan(Join.ROUTES), Path("/lab"))
    assert [line for line in commands if "master switch" in line] == [
        f"link set node-{number} master switch up" for number in range(3)
    ]
    assert any(line.endswith("netns /lab/node-two") for line in commands)
    assert not any("fd00" in line for line in commands)


def test_routes_lead_to_the_other_nodes_addresses() -> None:
    routes = plan(Join.ROUTES, is_dual_stack=True)
    assert peer_commands(NODES[0], NODES[2], routes) == [
        "route add 10.244.2.0/24 via 172.30.0.3 dev eth0 src 10.244.0.1",
        "route add fd00:10:244:2::/64 via fd00:172:30::3 dev eth0 src fd00:10:244::1",
    ]
    assert forwarding_entries(NODES[0], routes) == []
    assert not any("vxlan" in line for line in link_commands(NODES[0], routes))


def test_a_tunnels_other_ends_are_all_known_beforehand() -> None:
    tunnels = plan(Join.VXLAN)
    assert any("mtu 1450" in line and "nolearning" in line for line in link_commands(NODES[0], tunnels))
    assert peer_commands(NODES[0], NODES[1], tunnels) == [
        "neighbour add 10.244.1.0 lladdr 02:02:00:00:00:01 dev vxlan0 nud permanent",
        "route add 10.244.1.0/24 via 10.244.1.0 dev vxlan0 onlink src 10.244.0.1",
    ]
    assert forwarding_entries(NODES[0], tunnels) == [
        "fdb append 02:02:00:00:00:01 dev vxlan0 dst 172.30.0.2",
        "fdb append 02:02:00:00:00:02 dev vxlan0 dst 172.30.0.3",
    ]


def test_the_node_of_a_plain_lab_keeps_its_file_name() -> None:
    assert (node_file("node"), node_file("a")) == ("node", "node-a")
