"""How a Pod counts for the controllers (pure)."""

from control_plane.resources.pod import Pod
from lab.controllers.moment import seconds_of

_ENDED = ("Succeeded", "Failed")


def has_ended(pod: Pod) -> bool:
    """Its containers have run to their end and are not started again."""
    return pod.status.phase in _ENDED


def is_terminating(pod: Pod) -> bool:
    """Somebody has deleted it; it may still run for its grace period."""
    return bool(pod.metadata.deletion_timestamp)


def is_active(pod: Pod) -> bool:
    """It counts as one of its owner's replicas."""
    return not has_ended(pod) and not is_terminating(pod)


def ready_since(pod: Pod) -> float | None:
    """Seconds since the epoch at which it became ready (0: unknown); None when it is not ready."""
    for condition in pod.status.conditions:
        if condition.type == "Ready" and condition.status == "True":
            return seconds_of(condition.last_transition_time)
    return None


def available_in(pod: Pod, min_ready: int, now: float) -> float | None:
    """Seconds until it has been ready for `min_ready` of them: 0 when it has been; None when it is not
    ready."""
    since = ready_since(pod)
    return None if since is None else max(0.0, since + min_ready - now)


def is_available(pod: Pod, min_ready: int, now: float) -> bool:
    return available_in(pod, min_ready, now) == 0.0


def restarts(pod: Pod) -> int:
    """Of the container that was restarted most."""
    return max((one.restart_count for one in pod.status.container_statuses), default=0)
