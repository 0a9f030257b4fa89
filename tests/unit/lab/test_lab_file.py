"""The lab file: what it may say, and what is refused by name."""

from pathlib import Path, PurePath

import pytest
import yaml

from lab.lab_file import Join, LabFileError, LabPlan, NodeKind, plan_of_zones, read_lab_file

HEAD = "apiVersion: lab.meshproxy.io/v1alpha1\nkind: Lab\n"
FULL = f"""{HEAD}
network: {{join: vxlan, families: [IPv4, IPv6], mtu: 9000}}
nodes:
  - {{name: one, region: eu, zone: a}}
  - {{name: two, kind: bridge, labels: {{disk: ssd}}}}
---
"""


def read(text: str) -> LabPlan:
    return read_lab_file(text, PurePath("lab.yaml"))


def test_a_full_file_is_read_and_reads_the_same_when_written() -> None:
    plan = read(FULL)
    one, two = plan.nodes
    assert (plan.join, plan.is_dual_stack, plan.mtu, plan.pod_mtu) == (Join.VXLAN, True, 9000, 8950)
    assert (one.number, one.kind, two.number, two.kind) == (0, NodeKind.ROUTED, 1, NodeKind.BRIDGE)
    assert two.labels == {"disk": "ssd", "kubernetes.io/hostname": "two"}
    assert one.topology == {"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "a"}
    assert one.labels == {"kubernetes.io/hostname": "one", **one.topology}
    assert read(yaml.safe_dump(plan.to_document())) == plan
    assert plan.node("two") is two


def test_what_is_not_said_is_one_stack_joined_by_routes() -> None:
    plan = read(f"{HEAD}nodes: [{{name: a}}]")
    assert (plan.join, plan.is_dual_stack, plan.mtu, plan.pod_mtu) == (Join.ROUTES, False, 1500, 1500)
    assert read(yaml.safe_dump(plan.to_document())) == plan


def test_tunnels_leave_room_for_their_headers() -> None:
    assert read(f"{HEAD}network: {{join: vxlan}}\nnodes: [{{name: a}}]").pod_mtu == 1450


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "lab.yaml: not YAML"),
        ("", "must be one object"),
        ("[]", "must be one object"),
        (f"{FULL}{FULL}", "must be one object"),
        (f"{HEAD}nodes: []", "nodes"),
        (HEAD, "nodes: required"),
        ("kind: Lab\nnodes: [{name: a}]", "apiVersion: required"),
        (f"{HEAD}nodes: [{{name: A}}]", "nodes[0].name: invalid value 'A'"),
        (f"{HEAD}nodes: [{{name: a}}, {{name: a}}]", "nodes: 'a' is there twice"),
        (f"{HEAD}nodes: [{{name: a, kind: overlay}}]", "nodes[0].kind"),
        (f"{HEAD}nodes: [{{name: a, cpu: 2}}]", "nodes[0].cpu: unknown field"),
        (f"{HEAD}nodes: [{{name: a}}]\nnetwork: {{join: bgp}}", "network.join"),
        (f"{HEAD}nodes: [{{name: a}}]\nnetwork: {{families: [IPv6]}}", "must be [IPv4] or [IPv4, IPv6]"),
        (f"{HEAD}nodes: [{{name: a}}]\nnetwork: {{mtu: 1329}}", "network.mtu"),
        (f"{HEAD}nodes: [{', '.join(f'{{name: n{n}}}' for n in range(33))}]", "nodes"),
    ],
)
def test_what_makes_no_lab_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(LabFileError) as refused:
        read(text)
    assert said in str(refused.value)


def test_a_node_that_is_not_there_is_named_beside_those_that_are() -> None:
    with pytest.raises(LabFileError, match="no node 'x'; it has one, two"):
        read(FULL).node("x")


def test_without_zones_there_is_one_node_in_none() -> None:
    plan = plan_of_zones("")
    assert plan == LabPlan()
    (node,) = plan.nodes
    assert (node.name, node.topology) == ("node", {})


def test_each_zone_is_a_node() -> None:
    plain, placed = plan_of_zones("a, eu/b").nodes
    assert (plain.name, plain.topology) == ("node-a", {"topology.kubernetes.io/zone": "a"})
    assert (placed.name, placed.number) == ("node-eu-b", 1)
    assert placed.topology == {"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "b"}


@pytest.mark.parametrize(
    ("zones", "message"),
    [
        (",,", "names none"),
        ("A", "lower-case"),
        ("a/", "lower-case"),
        ("a,a", "twice"),
        (",".join(f"z{n}" for n in range(33)), "at most 32"),
    ],
)
def test_zones_that_make_no_nodes_are_refused(zones: str, message: str) -> None:
    with pytest.raises(LabFileError, match=message):
        plan_of_zones(zones)


EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "lab"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_lab_files(path: Path) -> None:
    assert len(read_lab_file(path.read_text(), path).nodes) > 1


def test_the_guides_lab_file_is_one() -> None:
    guide = Path(__file__).resolve().parents[3] / "docs" / "lab_network.md"
    text = guide.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert [node.name for node in read_lab_file(text, guide).nodes] == ["one", "two"]
