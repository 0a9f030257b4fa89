"""Where a pod may run, as its spec asks for it: affinity, tolerations, spread (pure)."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.resources.base import Model
from control_plane.resources.container_probe import Positive
from control_plane.resources.field import Items, LabelKey
from control_plane.resources.label_selector import LabelSelector

Weight = Annotated[int, Field(ge=1, le=100)]


class NodeSelectorRequirement(Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: Items[str] = ()


class NodeSelectorTerm(Model):
    match_expressions: Items[NodeSelectorRequirement] = ()
    match_fields: Items[NodeSelectorRequirement] = ()


class NodeSelector(Model):
    """Any of the terms."""

    node_selector_terms: Annotated[Items[NodeSelectorTerm], Field(min_length=1)]


class PreferredSchedulingTerm(Model):
    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(Model):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Items[PreferredSchedulingTerm] = ()


class PodAffinityTerm(Model):
    topology_key: LabelKey
    label_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    namespaces: Items[str] = ()
    match_label_keys: Items[str] = ()
    mismatch_label_keys: Items[str] = ()


class WeightedPodAffinityTerm(Model):
    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Model):
    required_during_scheduling_ignored_during_execution: Items[PodAffinityTerm] = ()
    preferred_during_scheduling_ignored_during_execution: Items[WeightedPodAffinityTerm] = ()


class Affinity(Model):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Toleration(Model):
    key: str = ""
    """Empty with operator `Exists`: every taint."""
    operator: Literal["Equal", "Exists", "Lt", "Gt"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None


class TopologySpreadConstraint(Model):
    max_skew: Positive
    topology_key: LabelKey
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    match_label_keys: Items[str] = ()
    min_domains: Positive | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
