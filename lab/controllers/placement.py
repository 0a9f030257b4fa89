"""On which node a Pod goes (pure): nodes that it may run on, and among them the one that spreads best.

Resources are not counted: every node of a lab is the same machine.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from control_plane.resources.node import REGION_LABEL, ZONE_LABEL, Node, Taint
from control_plane.resources.pod import Pod
from control_plane.resources.pod_placement import (
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Toleration,
)

_JUDGED_BY_CONDITION = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Taints that mirror the condition `Ready`. That itself is looked at: who takes them away again, Kubernetes'
node lifecycle controller, may not run."""
_BLOCKING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Crowd:
    """How full the nodes are, by name."""

    pods: Mapping[str, int]
    """All Pods there."""
    siblings: Mapping[str, int]
    """Those of the same controller as the Pod to be placed."""


def choose(pod: Pod, nodes: Sequence[Node], crowd: Crowd) -> tuple[Node | None, str]:
    """The node, or None and why there is none, in the words of Kubernetes' scheduler.

    Preferred affinity first, then few siblings, few Pods, the first by name.
    """
    refusals: Counter[str] = Counter()
    fitting = []
    for node in nodes:
        reason = refusal(pod, node)
        if reason:
            refusals[reason] += 1
        else:
            fitting.append(node)
    if not fitting:
        return None, _explained(len(nodes), refusals)

    def rank(node: Node) -> tuple[int, int, int, str]:
        name = node.metadata.name
        return -preference(pod, node), crowd.siblings.get(name, 0), crowd.pods.get(name, 0), name

    return min(fitting, key=rank), ""


def _explained(count: int, refusals: Mapping[str, int]) -> str:
    if not count:
        return "no nodes available to schedule pods"
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(refusals.items()))
    return f"0/{count} nodes are available: {reasons}."


def refusal(pod: Pod, node: Node) -> str:
    """Why the Pod may not run there; empty when it may."""
    if node.metadata.deletion_timestamp:
        return "node(s) were being deleted"
    if node.spec.unschedulable:
        return "node(s) were unschedulable"
    ready = next((one.status for one in node.status.conditions if one.type == "Ready"), "True")
    if ready != "True":
        return "node(s) were not ready"
    for taint in node.spec.taints:
        if taint.key in _JUDGED_BY_CONDITION or taint.effect not in _BLOCKING:
            continue
        if not any(_tolerates(one, taint) for one in pod.spec.tolerations):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    return "" if _is_selected(pod, node) else "node(s) didn't match Pod's node affinity/selector"


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.operator == "Equal" and toleration.value == taint.value


def _is_selected(pod: Pod, node: Node) -> bool:
    if not pod.spec.node_selector.items() <= node.metadata.labels.items():
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    return required is None or any(_fits(term, node) for term in required.node_selector_terms)


def preference(pod: Pod, node: Node) -> int:
    """Sum of the weights of its preferred terms that the node satisfies."""
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity is not None else ()
    return sum(one.weight for one in terms if _fits(one.preference, node))


def _fits(term: NodeSelectorTerm, node: Node) -> bool:
    """An empty term fits nothing, as in Kubernetes."""
    fields = {"metadata.name": node.metadata.name}
    return bool(term.match_expressions or term.match_fields) and (
        all(_meets(one, node.metadata.labels) for one in term.match_expressions)
        and all(_meets(one, fields) for one in term.match_fields)
    )


_TESTS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
    "Gt": lambda value, values: _number(value) is not None and _order(value, values) > 0,
    "Lt": lambda value, values: _number(value) is not None and _order(value, values) < 0,
}


def _meets(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    return _TESTS[requirement.operator](labels.get(requirement.key), requirement.values)


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _order(value: str | None, values: Sequence[str]) -> int:
    """Sign of value - values[0]; 0 when they cannot be compared."""
    mine, other = _number(value), _number(values[0] if len(values) == 1 else None)
    return 0 if mine is None or other is None else (mine > other) - (mine < other)


def topology_of(node: Node) -> dict[str, str]:
    """Labels that the Pods of the node carry too, as Kubernetes copies them."""
    labels = node.metadata.labels
    return {key: labels[key] for key in (REGION_LABEL, ZONE_LABEL) if key in labels}


def waits_for_node(pod: Pod) -> bool:
    """It is for us to place."""
    return (
        not pod.spec.node_name
        and not pod.metadata.deletion_timestamp
        and not pod.spec.scheduling_gates
        and pod.spec.scheduler_name == "default-scheduler"
    )
