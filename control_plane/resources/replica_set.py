"""apps/v1 ReplicaSet (pure)."""

from typing import Literal, Self

from pydantic import model_validator

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.deployment import check_template
from control_plane.resources.field import Count, Items
from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.pod import PodTemplate


class ReplicaSetSpec(Model):
    selector: LabelSelector
    template: PodTemplate
    replicas: Count = 1
    min_ready_seconds: Count = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_template(self.selector, self.template)
        return self


class ReplicaSetStatus(Model):
    observed_generation: Count = 0
    replicas: Count = 0
    fully_labeled_replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    terminating_replicas: Count = 0
    conditions: Items[Condition] = ()


class ReplicaSet(Resource):
    """Pods of one template, kept at a number; usually a Deployment's."""

    API_VERSION = "apps/v1"
    KIND = "ReplicaSet"

    api_version: Literal["apps/v1"]
    kind: Literal["ReplicaSet"]
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = ReplicaSetStatus()
