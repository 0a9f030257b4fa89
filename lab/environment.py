"""Environment and command of a container: field references, `$(NAME)` expansion (pure).

Follows Kubernetes: later variables may use earlier ones, an unknown `$(NAME)` stays as it is, `$$` is one
`$`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.resources.container import Container
from control_plane.resources.container_env import (
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVar,
    ResourceFieldSelector,
    SecretKeySelector,
)
from control_plane.resources.pod import Pod
from control_plane.resources.quantity import divided
from lab.pod_sources import Data, PodSources

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class PodStartError(Exception):
    """A container cannot be started as it is declared; the message goes into the pod's status.

    `reason` is Kubernetes' word for it, e.g. `CreateContainerConfigError`.
    """

    def __init__(self, message: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod and what is only known once it has a place."""

    pod: Pod
    pod_ip: str
    host_ip: str
    node_name: str
    pod_ips: tuple[str, ...] = ()
    """All of them; empty: the one."""
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, int | float | str] = field(default_factory=dict)
    """Of the node: quantities by resource, such as `cpu`."""


def field_value(facts: PodFacts, path: str) -> str:
    """What a `fieldRef` names. Raises PodStartError for a path that is not known."""
    metadata, spec = facts.pod.metadata, facts.pod.spec
    plain = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": spec.service_account_name,
        "status.podIP": facts.pod_ip,
        "status.podIPs": ",".join(facts.pod_ips) or facts.pod_ip,
        "status.hostIP": facts.host_ip,
        "status.hostIPs": ",".join(facts.host_ips) or facts.host_ip,
    }
    if path in plain:
        return plain[path]
    maps = {"metadata.labels": metadata.labels, "metadata.annotations": metadata.annotations}
    if path in maps:
        return downward_map(maps[path])
    keyed = _KEYED.fullmatch(path)
    if keyed is None:
        raise PodStartError(f"fieldRef {path!r} is not known; known are {', '.join([*plain, *maps])}")
    return maps[f"metadata.{keyed[1]}"].get(keyed[2], "")


def resource_value(facts: PodFacts, selector: ResourceFieldSelector, container: str) -> str:
    """What a `resourceFieldRef` names, of `container` unless it names another; a limit that is not set is
    what the node has. Raises PodStartError.
    """
    kind, _, resource = selector.resource.partition(".")
    name = selector.container_name or container
    containers = (*facts.pod.spec.init_containers, *facts.pod.spec.containers)
    found = next((one.resources for one in containers if one.name == name), None)
    if found is None or kind not in ("limits", "requests") or not resource:
        raise PodStartError(f"resourceFieldRef {selector.resource!r} of container {name!r} is not known")
    given = found.limits if kind == "limits" else found.requests
    absent = facts.allocatable.get(resource, 0) if kind == "limits" else 0
    return str(divided(given.get(resource, absent), selector.divisor))


def downward_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as a downward-API file: `key="escaped value"`, sorted, one a line."""
    escaped = (
        (key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in sorted(values.items())
    )
    return "".join('{}="{}"\n'.format(key, value.replace("\n", "\\n")) for key, value in escaped)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by the variable's value."""

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def container_environment(
    container: Container, facts: PodFacts, sources: PodSources, base: Mapping[str, str]
) -> dict[str, str]:
    """All variables of a container; `base` are the lab's own, which the container may override.

    First those of `envFrom`, later ones over earlier ones, then `env`. Raises PodStartError.
    """
    variables = dict(base)
    for bulk in container.env_from:
        variables |= _bulk_variables(bulk, sources)
    for entry in container.env:
        value = _value(entry, container.name, facts, sources, variables)
        if value is not None:
            variables[entry.name] = value
    return variables


def _bulk_variables(bulk: EnvFromSource, sources: PodSources) -> dict[str, str]:
    reference = bulk.config_map_ref or bulk.secret_ref
    assert reference is not None  # the model demands one of them
    kind = "configmap" if bulk.config_map_ref is not None else "secret"
    data = (sources.config_maps if kind == "configmap" else sources.secrets).get(reference.name)
    if data is None and not reference.optional:
        raise PodStartError(f'{kind} "{reference.name}" not found')
    return {bulk.prefix + key: value.decode(errors="replace") for key, value in (data or {}).items()}


def _value(
    entry: EnvVar,
    container: str,
    facts: PodFacts,
    sources: PodSources,
    variables: Mapping[str, str],
) -> str | None:
    """None: an optional source is not there, and the variable is not set."""
    source = entry.value_from
    if source is None:
        return expand(entry.value, variables)
    if source.field_ref is not None:
        return field_value(facts, source.field_ref.field_path)
    if source.resource_field_ref is not None:
        return resource_value(facts, source.resource_field_ref, container)
    if source.config_map_key_ref is not None:
        return _keyed("ConfigMap", source.config_map_key_ref, sources.config_maps)
    if source.secret_key_ref is not None:
        return _keyed("Secret", source.secret_key_ref, sources.secrets)
    raise PodStartError(f"env {entry.name}: fileKeyRef is not read by the lab")


def _keyed(
    kind: str, reference: ConfigMapKeySelector | SecretKeySelector, found: Mapping[str, Data]
) -> str | None:
    data = found.get(reference.name)
    value = (data or {}).get(reference.key)
    if value is not None:
        return value.decode(errors="replace")
    if reference.optional:
        return None
    if data is None:
        raise PodStartError(f'{kind.lower()} "{reference.name}" not found')
    raise PodStartError(f"couldn't find key {reference.key} in {kind} {reference.name}")


def container_command(container: Container, variables: Mapping[str, str]) -> list[str]:
    """The argument list to run: images are not pulled here, so none has an entry point. Raises PodStartError
    without a command; `args` alone are one unless they begin with an option.
    """
    command = [expand(argument, variables) for argument in (*container.command, *container.args)]
    if not command or (not container.command and command[0].startswith("-")):
        image = f" (image {container.image!r} is not used)" if container.image else ""
        raise PodStartError(
            f"container {container.name}: the lab runs processes of this machine, set `command`{image}"
        )
    return command
