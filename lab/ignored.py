"""What of a pod's spec the lab does not act on (pure): it is accepted as Kubernetes does, and told once."""

from collections.abc import Iterator

from control_plane.resources.base import Model
from control_plane.resources.container import Container
from control_plane.resources.pod import Pod

IGNORED_REASON = "IgnoredFields"

_OF_PODS = (
    "image_pull_secrets",
    "host_pid",
    "host_ipc",
    "host_users",
    "runtime_class_name",
    "overhead",
    "resource_claims",
    "resources",
    "priority",
    "priority_class_name",
    "preemption_policy",
)
_OF_POD_CONTEXTS = (
    "seccomp_profile",
    "app_armor_profile",
    "se_linux_options",
    "windows_options",
    "sysctls",
)
_OF_CONTAINERS = ("resources", "resize_policy", "volume_devices", "stdin", "tty")
_OF_CONTEXTS = ("seccomp_profile", "app_armor_profile", "se_linux_options", "windows_options", "proc_mount")


def ignored_fields(pod: Pod) -> list[str]:
    """Paths of fields that are set and have no effect in the lab, such as `containers[app].image`."""
    spec = pod.spec
    found = [*_set(spec, _OF_PODS, ""), *_set(spec.security_context, _OF_POD_CONTEXTS, "securityContext.")]
    for kind, containers in (("initContainers", spec.init_containers), ("containers", spec.containers)):
        for container in containers:
            found += [f"{kind}[{container.name}].{path}" for path in _of_container(container)]
    return found


def _of_container(container: Container) -> Iterator[str]:
    if container.image:
        yield "image"
    yield from _set(container, _OF_CONTAINERS, "")
    yield from _set(container.security_context, _OF_CONTEXTS, "securityContext.")
    if container.lifecycle is not None and container.lifecycle.stop_signal:
        yield "lifecycle.stopSignal"
    if any(port.host_port is not None for port in container.ports):
        yield "ports.hostPort"
    if any(mount.mount_propagation not in (None, "None") for mount in container.volume_mounts):
        yield "volumeMounts.mountPropagation"


def _set(model: Model, names: tuple[str, ...], prefix: str) -> Iterator[str]:
    for name in names:
        field = type(model).model_fields[name]
        if name in model.model_fields_set and getattr(model, name) != field.default:
            yield f"{prefix}{field.alias or name}"


def ignored_message(paths: list[str]) -> str:
    """For the Event."""
    return "the lab runs the commands of containers as processes of this machine, and does not act on: " + (
        ", ".join(paths)
    )
