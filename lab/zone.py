"""On which node a Pod runs (pure)."""

from collections import Counter
from collections.abc import Iterable, Mapping

from lab.lab_file import NodePlan


def node_for(selector: Mapping[str, str], nodes: Iterable[NodePlan], bound: Iterable[str]) -> NodePlan | None:
    """Of the nodes that fit `selector` the one with the fewest Pods, of which `bound` are the nodes."""
    counts = Counter(bound)
    fitting = [node for node in nodes if selector.items() <= node.labels.items()]
    return min(fitting, key=lambda node: counts[node.name], default=None)
