"""apps/v1 Deployment (pure)."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import Count, IntOrPercent, Items
from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.pod import PodTemplate


def check_template(selector: LabelSelector, template: PodTemplate) -> None:
    """What every controller of lasting pods asks of its template. Raises PydanticCustomError."""
    if not selector.match_labels and not selector.match_expressions:
        raise PydanticCustomError("invalid_value", "selector: must not be empty")
    labels = template.metadata.labels
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            raise PydanticCustomError(
                "invalid_value",
                "selector.matchLabels {key}={value} is not among template.metadata.labels",
                {"key": key, "value": value},
            )
    if not selector.matches(labels):
        raise PydanticCustomError(
            "invalid_value", "selector.matchExpressions: template.metadata.labels do not satisfy them"
        )
    if template.spec.restart_policy != "Always":
        raise PydanticCustomError("invalid_value", "template.spec.restartPolicy: must be Always")
    if template.spec.active_deadline_seconds is not None:
        raise PydanticCustomError("invalid_value", "template.spec.activeDeadlineSeconds: must not be set")


class RollingUpdate(Model):
    max_surge: IntOrPercent = "25%"
    max_unavailable: IntOrPercent = "25%"

    @model_validator(mode="after")
    def _check_progress(self) -> Self:
        if all(value in (0, "0%") for value in (self.max_surge, self.max_unavailable)):
            raise PydanticCustomError("invalid_value", "maxUnavailable: may not be 0 when maxSurge is 0")
        return self


class DeploymentStrategy(Model):
    type: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    rolling_update: RollingUpdate | None = None

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        if self.type == "Recreate" and self.rolling_update is not None:
            raise PydanticCustomError(
                "invalid_value", "rollingUpdate: may not be specified when strategy type is Recreate"
            )
        return self


class DeploymentSpec(Model):
    selector: LabelSelector
    template: PodTemplate
    replicas: Count = 1
    strategy: DeploymentStrategy = DeploymentStrategy()
    min_ready_seconds: Count = 0
    revision_history_limit: Count = 10
    progress_deadline_seconds: Count = 600
    paused: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_template(self.selector, self.template)
        if self.progress_deadline_seconds <= self.min_ready_seconds:
            raise PydanticCustomError(
                "invalid_value", "progressDeadlineSeconds: must be greater than minReadySeconds"
            )
        return self


class DeploymentStatus(Model):
    observed_generation: Count = 0
    replicas: Count = 0
    updated_replicas: Count = 0
    ready_replicas: Count = 0
    available_replicas: Count = 0
    unavailable_replicas: Count = 0
    terminating_replicas: Count = 0
    collision_count: Count = 0
    conditions: Items[Condition] = Field(default=())


class Deployment(Resource):
    """Pods of one template, kept at a number, and replaced step by step when the template changes."""

    API_VERSION = "apps/v1"
    KIND = "Deployment"

    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    spec: DeploymentSpec
    status: DeploymentStatus = DeploymentStatus()
