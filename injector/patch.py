"""Pod in, pod with interception and sidecar out, and back (pure).

A pod gets a sidecar when its label or annotation `meshproxy.io/inject` is `"true"`, or when its namespace
is labelled `meshproxy.io/injection: enabled` and the pod does not say `"false"`. Pods on the host's network
never get one: the rules would redirect the host's traffic. A pod that serves a Gateway, by its label, becomes
the proxy itself.
"""

import copy
from dataclasses import dataclass, replace
from typing import Final

from injector import json_patch
from injector.annotations import INJECT, STATUS_ANNOTATION, PodWishes, read_wishes
from injector.errors import InjectionError
from injector.manifest import Manifest, containers, objects, pod_name, section, texts
from injector.metrics import AppMetrics, app_metrics, turned_to_sidecar
from injector.override import AUTO_IMAGE, merged, take_override
from injector.pod_check import pod_warnings, refuse_names
from injector.probes import RewrittenProbes, turn_to_sidecar
from injector.status import InjectionStatus, is_injected
from injector.template import (
    INIT_CONTAINER,
    SIDECAR_CONTAINER,
    InjectorSettings,
    SidecarOfPod,
    gateway_container,
    init_container,
    sidecar_container,
    volumes,
    with_concurrency,
)

NAMESPACE_LABEL: Final = "meshproxy.io/injection"
TLS_MODE_LABEL: Final = "meshproxy.io/tls-mode"
TLS_MODE_MUTUAL: Final = "mutual"
"""Tells the control plane, and through it every client, that this pod terminates mesh TLS."""
GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"
"""Tells which Gateway of its namespace a pod serves."""
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""Whose logs and shell kubectl means when no container is named."""
_TEMPLATE_HASH_LABEL: Final = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Injection:
    """What became of one pod."""

    before: Manifest
    pod: Manifest
    """As it shall run; `before` itself when nothing was injected."""
    warnings: tuple[str, ...] = ()
    """Each with its mend, for `AdmissionReview.response.warnings`."""
    skipped: str = ""
    """Why nothing was injected; empty when it was."""

    @property
    def patch(self) -> list[json_patch.Operation]:
        """RFC 6902; empty when nothing was injected."""
        return json_patch.difference(self.before, self.pod)


def inject(pod: Manifest, namespace: Manifest, settings: InjectorSettings | None = None) -> Manifest:
    """The pod as it shall run: a copy with the sidecar, or `pod` itself when it shall have none or has it
    already.

    `namespace` is the pod's Namespace object. Raises InjectionError when the pod asks for what cannot work.
    """
    return judge(pod, namespace, settings).pod


def judge(
    pod: Manifest, namespace: Manifest, settings: InjectorSettings | None = None, workload: str = ""
) -> Injection:
    """As `inject`, with what there is to say about it. `pod` is not changed. `workload`: what makes the pod,
    where no owner reference says so yet: in a template."""
    reason = why_not(pod, namespace)
    chosen = settings or InjectorSettings()
    if reason:
        asked = section(pod, "spec").get("hostNetwork") is True and _wish(pod) == "true"
        return Injection(
            pod, pod, (f"pod {pod_name(pod)} gets no sidecar: {reason}",) if asked else (), reason
        )
    wishes = read_wishes(texts(section(pod, "metadata"), "annotations"))
    build = _gateway if GATEWAY_LABEL in texts(section(pod, "metadata"), "labels") else _sidecar
    patched = copy.deepcopy(pod)
    patched["spec"] = {**section(patched, "spec")}
    patched["metadata"] = {**section(patched, "metadata")}
    warnings = pod_warnings(pod, chosen.proxy_uid, chosen.proxy_gid)
    warnings += build(patched, SidecarOfPod(_workload(pod) or workload, wishes), chosen)
    return Injection(pod, patched, tuple(warnings))


def is_wanted(pod: Manifest, namespace: Manifest) -> bool:
    """Whether the pod shall get a sidecar that it does not have yet. Raises InjectionError for an unclear
    wish."""
    return not why_not(pod, namespace)


def why_not(pod: Manifest, namespace: Manifest) -> str:
    """Why the pod shall not get a sidecar now; empty when it shall. Raises InjectionError for an unclear
    wish."""
    spec = section(pod, "spec")
    if is_injected(pod):
        return "it has one already"
    if spec.get("hostNetwork") is True:
        return "hostNetwork is true, and the interception would redirect the node's own traffic"
    if section(spec, "os").get("name") == "windows":
        return "os.name is windows, and the interception is for Linux"
    wish = _wish(pod)
    if wish not in (None, "true", "false"):
        raise InjectionError(f'pod {pod_name(pod)}: {INJECT} is {wish!r}; use "true" or "false"')
    if wish is not None:
        return "" if wish == "true" else f'{INJECT} is "false"'
    enabled = texts(section(namespace, "metadata"), "labels").get(NAMESPACE_LABEL) == "enabled"
    return "" if enabled else f"neither pod nor namespace ask for it ({NAMESPACE_LABEL}: enabled)"


def _wish(pod: Manifest) -> str | None:
    metadata = section(pod, "metadata")
    return texts(metadata, "labels").get(INJECT, texts(metadata, "annotations").get(INJECT))


def _sidecar(pod: Manifest, of_pod: SidecarOfPod, settings: InjectorSettings) -> list[str]:
    """Put interception and sidecar into `pod`, whose metadata and spec may be changed; returns warnings."""
    spec, wishes = section(pod, "spec"), of_pod.wishes
    field = "containers" if _has_override(spec, "containers") else "initContainers"
    override = take_override(spec, SIDECAR_CONTAINER)
    if not objects(spec, "containers") and override is not None:
        raise InjectionError(f"pod {pod_name(pod)}: it has no container but the sidecar's; add the app's")
    mend = f"rename it, or give it image {AUTO_IMAGE!r} to set the sidecar's own resources, env and the like"
    refuse_names(pod, "container", containers(spec), (INIT_CONTAINER, SIDECAR_CONTAINER), mend)
    _refuse_volumes(pod)
    probes = turn_to_sidecar(containers(spec)) if wishes.rewrites_probes else RewrittenProbes()
    metrics = _metrics(pod, wishes)
    of_pod = replace(of_pod, probes=probes.variable, metrics=metrics.variable)
    sidecar = merged(sidecar_container(settings, of_pod), override or {}, pod_name(pod))
    # Ours first: the app's own init containers then already talk through the sidecar.
    ours = [init_container(settings, wishes), with_concurrency(sidecar, wishes)]
    spec["initContainers"] = [*ours, *objects(spec, "initContainers")]
    spec["volumes"] = [*objects(spec, "volumes"), *volumes()]
    _mark(pod, {TLS_MODE_LABEL: TLS_MODE_MUTUAL}, _annotations(pod, wishes), override, field)
    return [*probes.warnings, *metrics.warnings]


def _annotations(pod: Manifest, wishes: PodWishes) -> dict[str, str]:
    """What kubectl and Prometheus shall find."""
    given = texts(section(pod, "metadata"), "annotations")
    apps = objects(section(pod, "spec"), "containers")
    default = {DEFAULT_CONTAINER: str(apps[0].get("name"))} if apps and DEFAULT_CONTAINER not in given else {}
    return {**default, **_scraped(given, wishes)}


def _gateway(pod: Manifest, of_pod: SidecarOfPod, settings: InjectorSettings) -> list[str]:
    """A pod that serves a Gateway: its only container is the proxy, and nothing is redirected to it."""
    spec = section(pod, "spec")
    given = objects(spec, "containers")
    if [container.get("name") for container in given] != [SIDECAR_CONTAINER]:
        raise InjectionError(
            f"pod {pod_name(pod)}: with the label {GATEWAY_LABEL} it must have one container, named "
            f"{SIDECAR_CONTAINER}; what it runs is filled in"
        )
    _refuse_volumes(pod)
    container = merged(gateway_container(settings, of_pod), given[0], pod_name(pod))
    spec["containers"] = [with_concurrency(container, of_pod.wishes)]
    spec["volumes"] = [*objects(spec, "volumes"), *volumes()]
    annotations = texts(section(pod, "metadata"), "annotations")
    _mark(pod, {}, _scraped(annotations, of_pod.wishes), given[0], "containers")
    return []


def _has_override(spec: Manifest, field: str) -> bool:
    return any(each.get("name") == SIDECAR_CONTAINER for each in objects(spec, field))


def _refuse_volumes(pod: Manifest) -> None:
    given = objects(section(pod, "spec"), "volumes")
    refuse_names(pod, "volume", given, [str(volume["name"]) for volume in volumes()], "rename it")


def _metrics(pod: Manifest, wishes: PodWishes) -> AppMetrics:
    if not wishes.merges_metrics:
        return AppMetrics()
    return app_metrics(texts(section(pod, "metadata"), "annotations"), section(pod, "spec"))


def _scraped(annotations: dict[str, str], wishes: PodWishes) -> dict[str, str]:
    return turned_to_sidecar(annotations) if wishes.merges_metrics else {}


def _mark(
    pod: Manifest, labels: dict[str, str], annotations: dict[str, str], override: Manifest | None, field: str
) -> None:
    """Labels and annotations of an injected pod, with what they replace."""
    metadata = section(pod, "metadata")
    old_labels, old_annotations = texts(metadata, "labels"), texts(metadata, "annotations")
    status = InjectionStatus(
        {name: old_labels.get(name) for name in labels},
        {name: old_annotations.get(name) for name in annotations},
        override,
        field,
    )
    if labels:
        metadata["labels"] = {**old_labels, **labels}
    metadata["annotations"] = {**old_annotations, **annotations, STATUS_ANNOTATION: status.to_text()}


def _workload(pod: Manifest) -> str:
    """What the pod belongs to, for metrics: the Deployment, also through its ReplicaSet; empty for a pod
    alone."""
    metadata = section(pod, "metadata")
    for owner in objects(metadata, "ownerReferences"):
        if owner.get("controller") is True:
            name, template = str(owner.get("name")), texts(metadata, "labels").get(_TEMPLATE_HASH_LABEL, "")
            return name.removesuffix(f"-{template}") if owner.get("kind") == "ReplicaSet" else name
    return ""
