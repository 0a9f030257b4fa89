from lab.lab_file import plan_of_zones
from lab.zone import node_for


def test_the_emptiest_node_that_fits_is_taken() -> None:
    nodes = plan_of_zones("a,b").nodes
    taken = node_for({}, nodes, ["node-a"])
    assert taken is not None
    assert taken.name == "node-b"
    chosen = node_for({"topology.kubernetes.io/zone": "a"}, nodes, ["node-a"])
    assert chosen is not None
    assert chosen.name == "node-a"
    assert node_for({"disk": "ssd"}, nodes, []) is None
