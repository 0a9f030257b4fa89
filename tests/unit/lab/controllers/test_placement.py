"""On which node a Pod goes."""

import pytest

from control_plane.resources.manifest import Manifest
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from lab.controllers.placement import Crowd, choose, topology_of, waits_for_node
from tests.unit.lab.builders import pod, pod_manifest

NOBODY = Crowd({}, {})


def node(name: str, *, ready: str = "True", spec: Manifest | None = None, **labels: str) -> Node:
    conditions = [{"type": "Ready", "status": ready}] if ready else []
    return Node.parse(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {key.replace("_", "/"): value for key, value in labels.items()},
            },
            "spec": spec or {},
            "status": {"conditions": conditions},
        }
    )


def chosen(wanted: Pod, *nodes: Node, crowd: Crowd = NOBODY) -> str:
    found, why = choose(wanted, nodes, crowd)
    return why if found is None else found.metadata.name


def test_pods_of_one_controller_are_spread_before_all_pods_are() -> None:
    crowd = Crowd({"a": 1, "b": 5, "c": 4}, {"a": 1, "b": 0, "c": 0})
    assert chosen(pod(), node("a"), node("b"), node("c"), crowd=crowd) == "c"
    assert chosen(pod(), node("b"), node("a")) == "a"


def test_a_node_without_a_word_on_its_readiness_counts_as_ready() -> None:
    assert chosen(pod(), node("a", ready="")) == "a"


def test_a_pod_that_fits_nowhere_is_told_why() -> None:
    assert chosen(pod()) == "no nodes available to schedule pods"
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    nodes = [
        node("a", ready="Unknown"),
        node("b", spec={"unschedulable": True}),
        node("c", spec={"taints": [taint]}),
        node("d"),
        node("e"),
    ]
    wanted = pod(nodeSelector={"disk": "ssd"})
    assert chosen(wanted, *nodes) == (
        "0/5 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {gpu: yes}, 1 node(s) were not ready, 1 node(s) were unschedulable."
    )
    leaving = node("f")
    meta = leaving.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})
    assert "being deleted" in chosen(pod(), leaving.model_copy(update={"metadata": meta}))


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_taints_are_tolerated(toleration: Manifest, tolerates: bool) -> None:
    tainted = node("a", spec={"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})
    assert (chosen(pod(tolerations=[toleration]), tainted) == "a") is tolerates


def test_taints_that_only_prefer_or_mirror_the_condition_do_not_block() -> None:
    taints = [
        {"key": "gpu", "effect": "PreferNoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
    ]
    assert chosen(pod(), node("a", spec={"taints": taints})) == "a"


def affinity(*expressions: Manifest, fields: Manifest | None = None) -> Pod:
    term: Manifest = {"matchExpressions": [*expressions], "matchFields": [fields] if fields else []}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return pod(affinity={"nodeAffinity": required})


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["4", "5"], True),
        ("In", ["5"], False),
        ("NotIn", ["5"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["3"], True),
        ("Gt", ["4"], False),
        ("Gt", ["many"], False),
        ("Lt", ["5"], True),
        ("Lt", ["3", "9"], False),
    ],
)
def test_required_affinity(operator: str, values: list[str], fits: bool) -> None:
    wanted = affinity({"key": "cores", "operator": operator, "values": values})
    assert (chosen(wanted, node("a", cores="4")) == "a") is fits


def test_affinity_by_field_and_an_empty_term() -> None:
    by_name = affinity(fields={"key": "metadata.name", "operator": "In", "values": ["b"]})
    assert chosen(by_name, node("a"), node("b")) == "b"
    assert "didn't match" in chosen(affinity(), node("a"))
    assert "didn't match" in chosen(affinity({"key": "x", "operator": "Lt", "values": ["1"]}), node("a"))


def test_preferred_affinity_weighs_more_than_spread() -> None:
    preferred = {
        "weight": 5,
        "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]},
    }
    terms = {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}
    wanted = pod(affinity={"nodeAffinity": terms})
    assert chosen(wanted, node("a"), node("b", disk="ssd"), crowd=Crowd({"b": 9}, {})) == "b"


def test_topology_labels_are_those_of_place() -> None:
    labels = {"topology.kubernetes.io_zone": "z", "disk": "ssd"}
    found = node("a", spec=None, **labels)
    assert topology_of(found) == {"topology.kubernetes.io/zone": "z"}


def test_who_waits_for_a_node() -> None:
    assert waits_for_node(pod())
    assert not waits_for_node(pod(nodeName="a"))
    assert not waits_for_node(pod(schedulerName="other"))
    assert not waits_for_node(pod(schedulingGates=[{"name": "wait"}]))
    leaving = pod_manifest()
    leaving["metadata"] = {"name": "a", "namespace": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert not waits_for_node(Pod.parse(leaving))
