import pytest

from lab.zone import is_node, node_for, nodes_of


def test_without_zones_there_is_one_node_in_none() -> None:
    (node,) = nodes_of("")
    assert (node.name, node.topology) == ("node", {})


def test_each_zone_is_a_node() -> None:
    plain, placed = nodes_of("a, eu/b")
    assert (plain.name, plain.topology) == ("node-a", {"topology.kubernetes.io/zone": "a"})
    assert placed.name == "node-eu-b"
    assert placed.topology == {"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "b"}
    assert placed.manifest["kind"] == "Node"
    assert all(is_node(node.name) for node in (plain, placed))
    assert is_node("node")
    assert not is_node("nodes")
    assert not is_node("")


@pytest.mark.parametrize(("zones", "message"), [("A", "lower-case"), ("a/", "lower-case"), ("a,a", "twice")])
def test_zones_that_make_no_node_are_refused(zones: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nodes_of(zones)


def test_the_emptiest_node_that_fits_is_taken() -> None:
    nodes = nodes_of("a,b")
    taken = node_for({}, nodes, ["node-a"])
    assert taken is not None
    assert taken.name == "node-b"
    chosen = node_for({"topology.kubernetes.io/zone": "a"}, nodes, ["node-a"])
    assert chosen is not None
    assert chosen.name == "node-a"
    assert node_for({"disk": "ssd"}, nodes, []) is None
