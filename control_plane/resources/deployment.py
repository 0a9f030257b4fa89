"""apps/v1 Deployment (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import Count, IntOrPercent, Items, Labels, NotSupported
from control_plane.resources.pod import PodTemplate


class LabelSelector(Model):
    match_labels: Annotated[Labels, Field(min_length=1)]
    match_expressions: NotSupported = None


class RollingUpdate(Model):
    max_surge: IntOrPercent = "25%"
    max_unavailable: IntOrPercent = "25%"


class DeploymentStrategy(Model):
    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(Model):
    selector: LabelSelector
    template: PodTemplate
    replicas: Count = 1
    strategy: DeploymentStrategy = DeploymentStrategy()
    min_ready_seconds: Count = 0
    revision_history_limit: Count = 10
    progress_deadline_seconds: Count = 600
    paused: NotSupported = None

    @model_validator(mode="after")
    def _check_selector(self) -> Self:
        labels = self.template.metadata.labels
        for key, value in self.selector.match_labels.items():
            if labels.get(key) != value:
                raise PydanticCustomError(
                    "invalid_value",
                    "selector.matchLabels {key}={value} is not among template.metadata.labels",
                    {"key": key, "value": value},
                )
        if self.template.spec.restart_policy != "Always":
            raise PydanticCustomError("invalid_value", "template.spec.restartPolicy: must be Always")
        return self


class DeploymentStatus(Model):
    observed_generation: Count = 0
    replicas: Count = 0
    updated_replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    unavailable_replicas: Count = 0
    conditions: Items[Condition] = ()


class Deployment(Resource):
    API_VERSION = "apps/v1"
    KIND = "Deployment"

    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
