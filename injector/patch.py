"""Pod in, pod with interception and sidecar out (pure). The lab calls it in process.

A pod gets a sidecar when its label or annotation `meshproxy.io/inject` is `"true"`, or when its namespace
is labelled `meshproxy.io/injection: enabled` and the pod does not say `"false"`. Pods on the host's network
never get one: the rules would redirect the host's traffic. A pod that serves a Gateway, by its label, becomes
the proxy itself.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import cast

from injector.annotations import traffic_flags
from injector.errors import InjectionError
from injector.probes import turn_to_sidecar
from injector.template import (
    INIT_CONTAINER,
    SIDECAR_CONTAINER,
    InjectorSettings,
    gateway_container,
    init_container,
    sidecar_container,
    volumes,
)

Manifest = dict[str, object]
"""One object as JSON."""

NAMESPACE_LABEL = "meshproxy.io/injection"
INJECT = "meshproxy.io/inject"
STATUS_ANNOTATION = "meshproxy.io/status"
INJECTED = "injected"
TLS_MODE_LABEL = "meshproxy.io/tls-mode"
TLS_MODE_MUTUAL = "mutual"
"""Tells the control plane, and through it every client, that this pod terminates mesh TLS."""
GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
"""Tells which Gateway of its namespace a pod serves."""
_TEMPLATE_HASH_LABEL = "pod-template-hash"


def inject(pod: Manifest, namespace: Manifest, settings: InjectorSettings | None = None) -> Manifest:
    """The pod as it shall run: a copy with the sidecar, or `pod` itself when it shall have none or has it
    already.

    `namespace` is the pod's Namespace object. Raises InjectionError when the pod asks for what cannot work.
    """
    if not is_wanted(pod, namespace):
        return pod
    chosen = settings or InjectorSettings()
    if GATEWAY_LABEL in _texts(_section(pod, "metadata"), "labels"):
        return _gateway(pod, chosen)
    _check(pod, chosen)
    flags = traffic_flags(_texts(_section(pod, "metadata"), "annotations"))
    patched = copy.deepcopy(pod)
    spec = patched["spec"] = {**_section(patched, "spec")}
    probes = turn_to_sidecar([*_objects(spec, "initContainers"), *_objects(spec, "containers")])
    # Ours first: the app's own init containers then already talk through the sidecar.
    ours = [init_container(chosen, flags), sidecar_container(chosen, _workload(pod), probes.variable)]
    spec["initContainers"] = [*ours, *_objects(spec, "initContainers")]
    spec["volumes"] = [*_objects(spec, "volumes"), *volumes()]
    metadata = patched["metadata"] = {**_section(patched, "metadata")}
    metadata["labels"] = {**_texts(metadata, "labels"), TLS_MODE_LABEL: TLS_MODE_MUTUAL}
    metadata["annotations"] = {**_texts(metadata, "annotations"), STATUS_ANNOTATION: INJECTED}
    return patched


def _gateway(pod: Manifest, settings: InjectorSettings) -> Manifest:
    """A pod that serves a Gateway: its only container is the proxy, and nothing is redirected to it."""
    given = _objects(_section(pod, "spec"), "containers")
    if [container.get("name") for container in given] != [SIDECAR_CONTAINER]:
        raise InjectionError(
            f"pod {_name(pod)}: with the label {GATEWAY_LABEL} it must have one container, named "
            f"{SIDECAR_CONTAINER}; what it runs is filled in"
        )
    _check_names(
        pod,
        "volume",
        _objects(_section(pod, "spec"), "volumes"),
        [str(volume["name"]) for volume in volumes()],
    )
    patched = copy.deepcopy(pod)
    spec = patched["spec"] = {**_section(patched, "spec")}
    spec["containers"] = [gateway_container(settings, _workload(pod), given[0])]
    spec["volumes"] = [*_objects(spec, "volumes"), *volumes()]
    metadata = patched["metadata"] = {**_section(patched, "metadata")}
    metadata["annotations"] = {**_texts(metadata, "annotations"), STATUS_ANNOTATION: INJECTED}
    return patched


def is_wanted(pod: Manifest, namespace: Manifest) -> bool:
    """Whether the pod shall get a sidecar that it does not have yet. Raises InjectionError for an unclear
    wish."""
    metadata = _section(pod, "metadata")
    labels, annotations = _texts(metadata, "labels"), _texts(metadata, "annotations")
    if annotations.get(STATUS_ANNOTATION) == INJECTED or _section(pod, "spec").get("hostNetwork") is True:
        return False
    wish = labels.get(INJECT, annotations.get(INJECT))
    if wish not in (None, "true", "false"):
        raise InjectionError(f'pod {_name(pod)}: {INJECT} is {wish!r}; use "true" or "false"')
    if wish is not None:
        return wish == "true"
    return _texts(_section(namespace, "metadata"), "labels").get(NAMESPACE_LABEL) == "enabled"


def _check(pod: Manifest, settings: InjectorSettings) -> None:
    spec = _section(pod, "spec")
    containers = [*_objects(spec, "initContainers"), *_objects(spec, "containers")]
    _check_names(pod, "container", containers, (INIT_CONTAINER, SIDECAR_CONTAINER))
    _check_names(pod, "volume", _objects(spec, "volumes"), [str(volume["name"]) for volume in volumes()])
    own = {"runAsUser": settings.proxy_uid, "runAsGroup": settings.proxy_gid}
    for holder in (spec, *containers):
        context = _section(holder, "securityContext")
        for field, value in own.items():
            if context.get(field) == value:
                where = f"container {holder['name']!r}" if holder is not spec else "spec.securityContext"
                raise InjectionError(
                    f"pod {_name(pod)}, {where}: {field} {value} is the sidecar's own and would bypass "
                    "the mesh; use another"
                )


def _check_names(
    pod: Manifest, kind: str, objects: Iterable[Mapping[str, object]], reserved: Iterable[str]
) -> None:
    for name in sorted({str(each.get("name")) for each in objects}.intersection(reserved)):
        raise InjectionError(f"pod {_name(pod)}: the {kind} name {name!r} is the sidecar's; rename it")


def _workload(pod: Manifest) -> str:
    """What the pod belongs to, for metrics: the Deployment, also through its ReplicaSet; empty for a pod
    alone."""
    metadata = _section(pod, "metadata")
    for owner in _objects(metadata, "ownerReferences"):
        if owner.get("controller") is True:
            name, template = str(owner.get("name")), _texts(metadata, "labels").get(_TEMPLATE_HASH_LABEL, "")
            return name.removesuffix(f"-{template}") if owner.get("kind") == "ReplicaSet" else name
    return ""


def _name(pod: Manifest) -> str:
    """`namespace/name`; pods of a controller may have but a prefix of a name yet."""
    metadata = _section(pod, "metadata")
    return (
        f"{metadata.get('namespace', 'default')}/{metadata.get('name') or metadata.get('generateName', '')}"
    )


def _section(holder: Mapping[str, object], field: str) -> dict[str, object]:
    value = holder.get(field)
    return value if isinstance(value, dict) else {}


def _texts(holder: Mapping[str, object], field: str) -> dict[str, str]:
    return cast("dict[str, str]", _section(holder, field))


def _objects(holder: Mapping[str, object], field: str) -> list[dict[str, object]]:
    value = holder.get(field)
    return value if isinstance(value, list) else []
