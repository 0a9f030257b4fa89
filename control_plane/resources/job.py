"""batch/v1 Job (pure): pods that run to their end."""

from typing import Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import Count, Items, NotSupported
from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.pod import PodTemplate


class JobSpec(Model):
    template: PodTemplate
    parallelism: Count = 1
    completions: Count | None = None
    """None: one success ends a Job of parallelism 1; with more, success of any pod means that the work is
    done, and the rest are awaited."""
    backoff_limit: Count = 6
    active_deadline_seconds: Count | None = None
    ttl_seconds_after_finished: Count | None = None
    suspend: bool = False
    selector: LabelSelector | None = None
    manual_selector: bool = False
    completion_mode: Literal["NonIndexed"] = "NonIndexed"
    pod_replacement_policy: Literal["TerminatingOrFailed", "Failed"] = "TerminatingOrFailed"
    backoff_limit_per_index: NotSupported = None
    max_failed_indexes: NotSupported = None
    pod_failure_policy: NotSupported = None
    success_policy: NotSupported = None
    managed_by: NotSupported = None

    @model_validator(mode="after")
    def _check_template(self) -> Self:
        if self.template.spec.restart_policy == "Always":
            raise PydanticCustomError(
                "invalid_value",
                'template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            )
        return self


class UncountedTerminatedPods(Model):
    succeeded: Items[str] = ()
    failed: Items[str] = ()


class JobStatus(Model):
    active: Count = 0
    ready: Count = 0
    terminating: Count = 0
    succeeded: Count = 0
    failed: Count = 0
    start_time: str = ""
    completion_time: str = ""
    completed_indexes: str = ""
    failed_indexes: str = ""
    uncounted_terminated_pods: UncountedTerminatedPods = UncountedTerminatedPods()
    conditions: Items[Condition] = ()


class Job(Resource):
    """Pods that run until enough of them have succeeded."""

    API_VERSION = "batch/v1"
    KIND = "Job"

    api_version: Literal["batch/v1"]
    kind: Literal["Job"]
    spec: JobSpec
    status: JobStatus = JobStatus()

    @property
    def wanted_completions(self) -> int:
        """Pods that must succeed; 1 when it is not said, as then one success ends the Job."""
        return 1 if self.spec.completions is None else self.spec.completions
