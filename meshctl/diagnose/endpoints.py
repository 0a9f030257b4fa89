"""Layer 4: the Service has ready endpoints behind the port (pure)."""

from collections.abc import Mapping
from difflib import SequenceMatcher

from control_plane.resources.pod import Pod
from control_plane.resources.service import EXTERNAL_NAME, Service
from injector.template import SIDECAR_CONTAINER
from lab.controllers.service_endpoint import target_of
from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Backend, Cluster, Facts, PodFacts, PodInside, SidecarFacts
from meshctl.diagnose.finding import Finding, Layer, absent, fault, ok
from meshctl.diagnose.pod_running import events_about
from meshctl.diagnose.question import service_of

_LAYER = Layer.ENDPOINTS
_ALIKE = 0.5
"""`SequenceMatcher.ratio` above which a label is taken for a misspelt one."""


def judge(facts: Facts) -> Finding:
    assert facts.service is not None, "the name was judged before"
    declared = {one.port for one in facts.service.spec.ports}
    if facts.service.spec.type == EXTERNAL_NAME:
        return _external(facts, facts.service)
    if facts.port not in declared:
        return _no_port(facts, facts.service)
    if any(one.protocol != "TCP" for one in facts.service.spec.ports if one.port == facts.port):
        return absent(_LAYER, f"port {facts.port} is not of TCP alone")
    notes: list[str] = []
    for backend in facts.backends:
        found = _of_backend(backend, facts.cluster, notes)
        if found is not None:
            return found
    if not facts.backends:
        return absent(_LAYER, "routes lead to no Service")
    count = sum(len(backend.ready_addresses) for backend in facts.backends)
    return ok(_LAYER, f"{count} ready", *notes)


def _no_port(facts: Facts, service: Service) -> Finding:
    meta, question, ports = service.metadata, facts.question, service.spec.ports
    shown = ", ".join(f"{one.port}{f' ({one.name})' if one.name else ''}" for one in ports)
    what = f"Service {meta.namespace}/{meta.name} has no port {facts.port}"
    add: list[dict[str, object]] = [
        {"op": "add", "path": "/spec/ports/-", "value": {"name": f"tcp-{facts.port}", "port": facts.port}}
    ]
    patch = command_line.patch_service(meta.name, meta.namespace, add)
    insides = [pod.inside for backend in facts.backends for pod in backend.pods]
    listened = {one.port for inside in insides if isinstance(inside, PodInside) for one in inside.listening}
    if not ports or facts.port in listened:
        return fault(_LAYER, what, f"it has {shown or 'none'}", mend=patch)
    return fault(
        _LAYER,
        what,
        f"it has {shown}",
        mend=f"meshctl diagnose '{question.client} -> {question.host}:{ports[0].port}'",
        advice=f"let the client call port {ports[0].port}; or add one: {patch}",
    )


def _external(facts: Facts, service: Service) -> Finding:
    target = service.spec.external_name or ""
    if not target.endswith(".svc.cluster.local"):
        return absent(_LAYER, f"the Service is another name for {target}")
    namespace, name = service_of(target, service.metadata.namespace)
    known = {(one.metadata.namespace, one.metadata.name) for one in facts.cluster.services}
    if (namespace, name) in known:
        return absent(_LAYER, f"the Service is another name for {target}; ask about that one")
    meta = service.metadata
    return fault(
        _LAYER,
        f"Service {meta.namespace}/{meta.name} is another name for {target}, which does not exist",
        mend=command_line.in_namespace(f"kubectl edit service {meta.name}", meta.namespace),
        advice="let spec.externalName name a Service that exists",
    )


def _of_backend(backend: Backend, cluster: Cluster, notes: list[str]) -> Finding | None:
    if backend.ready_addresses:
        late = len(backend.pods) - len(backend.ready_pods)
        if backend.pods and late:
            notes.append(f"{late} of {len(backend.pods)} pods of {backend.name} get no traffic")
        return None
    if backend.service_port is None:
        return fault(
            _LAYER,
            f"a route leads to port {backend.port} of Service {backend.name}, which has none",
            mend=f"kubectl describe service {backend.service.metadata.name}"
            f" -n {backend.service.metadata.namespace}",
        )
    if not backend.service.spec.selector:
        return _without_selector(backend)
    if not backend.pods:
        return _nobody_selected(backend, cluster)
    return _unnamed_port(backend) or _nobody_ready(backend, cluster)


def _without_selector(backend: Backend) -> Finding:
    meta = backend.service.metadata
    return fault(
        _LAYER,
        f"Service {backend.name} selects no pods, and no EndpointSlice says where its endpoints are",
        mend=command_line.in_namespace(f"kubectl edit service {meta.name}", meta.namespace),
        advice=f"give it a selector, or an EndpointSlice with label kubernetes.io/service-name={meta.name}",
    )


def _nobody_selected(backend: Backend, cluster: Cluster) -> Finding:
    meta, selector = backend.service.metadata, backend.service.spec.selector
    what = f"Service {backend.name} selects {_labels(selector)}, which no pod in {meta.namespace} carries"
    same = {pod.metadata.namespace for pod in cluster.pods if selector.items() <= pod.metadata.labels.items()}
    if same:
        return fault(
            _LAYER,
            what,
            f"pods with these labels are in namespace {', '.join(sorted(same))}",
            mend=f"kubectl get service {meta.name} -n {meta.namespace} -o yaml",
            advice=f"a Service selects in its own namespace: make it in {min(same)}",
        )
    meant = _meant(backend, cluster)
    if meant is None:
        return fault(
            _LAYER,
            what,
            mend=command_line.in_namespace("kubectl get pods --show-labels", meta.namespace),
            advice="start its pods, or select labels that they carry",
        )
    pod, labels = meant
    return fault(
        _LAYER,
        what,
        f"pod {pod.metadata.name} carries {_labels(labels)}",
        mend=command_line.set_selector(meta.name, meta.namespace, labels),
    )


def _meant(backend: Backend, cluster: Cluster) -> tuple[Pod, dict[str, str]] | None:
    """The pod that is most like what is selected, and the selector in its words."""
    meta, selector = backend.service.metadata, backend.service.spec.selector
    candidates = [pod for pod in cluster.pods if pod.metadata.namespace == meta.namespace]
    judged = [(pod, *_likeness(selector, pod.metadata.labels)) for pod in candidates]
    pod, labels, score = max(judged, key=lambda one: one[2], default=(None, {}, 0.0))
    return None if pod is None or score <= _ALIKE else (pod, labels)


def _likeness(selector: Mapping[str, str], labels: Mapping[str, str]) -> tuple[dict[str, str], float]:
    """For each selected label the one that is most like it, and how alike they are, 0 to 1."""
    nearest, scores = {}, []
    for key, value in selector.items():
        ranked = [
            (min(_ratio(f"{key}={value}", f"{k}={v}"), _ratio(value, v)), k, v) for k, v in labels.items()
        ]
        score, k, v = max(ranked, default=(0.0, key, value))
        nearest[k] = v
        scores.append(score)
    return nearest, sum(scores) / max(len(scores), 1)


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _unnamed_port(backend: Backend) -> Finding | None:
    port, pod = backend.service_port, backend.pods[0].pod
    assert port is not None, "judged before"
    if target_of(port, pod) is not None:
        return None
    declared = [one for container in pod.spec.containers for one in container.ports]
    names = ", ".join(f"{one.name or 'unnamed'} ({one.container_port})" for one in declared)
    meta = backend.service.metadata
    number = backend.service.spec.ports.index(port)
    if len(declared) != 1:
        mend = command_line.in_namespace(f"kubectl edit service {meta.name}", meta.namespace)
    else:
        path = f"/spec/ports/{number}/targetPort"
        wanted = declared[0].name or declared[0].container_port
        mend = command_line.patch_service(
            meta.name, meta.namespace, [{"op": "replace", "path": path, "value": wanted}]
        )
    return fault(
        _LAYER,
        f"Service {backend.name} leads to the port named {port.target}, which its pods do not declare",
        f"pod {pod.metadata.name} declares {names or 'none'}",
        mend=mend,
    )


def _nobody_ready(backend: Backend, cluster: Cluster) -> Finding:
    meta = backend.service.metadata
    stays = [pod for pod in backend.pods if not pod.pod.metadata.deletion_timestamp]
    if not stays:
        return fault(
            _LAYER,
            f"every pod of Service {backend.name} is being deleted",
            mend=command_line.in_namespace("kubectl get deployments,pods", meta.namespace),
        )
    if all(pod.pod.status.is_ready for pod in stays[:1]):
        return fault(
            _LAYER,
            f"pod {stays[0].full_name} is ready, but no EndpointSlice of Service {backend.name} says so",
            mend=command_line.in_namespace(
                f"kubectl get endpointslices -l kubernetes.io/service-name={meta.name}", meta.namespace
            ),
            advice="the controllers keep them: in a lab see meshctl lab status",
        )
    return _not_ready(stays[0], backend, cluster)


def _not_ready(pod: PodFacts, backend: Backend, cluster: Cluster) -> Finding:
    for status in (*pod.pod.status.init_container_statuses, *pod.pod.status.container_statuses):
        if status.name == SIDECAR_CONTAINER and not status.ready:
            said = pod.sidecar.not_ready if isinstance(pod.sidecar, SidecarFacts) else ()
            return fault(
                Layer.SIDECAR,
                f"the sidecar of {pod.full_name} is not ready, so the pod is no endpoint",
                *said,
                mend=command_line.logs(pod.pod, SIDECAR_CONTAINER),
            )
    late = [status.name for status in pod.pod.status.container_statuses if not status.ready]
    gates = [
        one.condition_type
        for one in pod.pod.spec.readiness_gates
        if not any(c.type == one.condition_type and c.status == "True" for c in pod.pod.status.conditions)
    ]
    said = events_about(pod.pod, cluster, "Unhealthy")[:1]
    if not late and gates:
        reason = f"its readiness gate {gates[0]} is not true"
    else:
        reason = f"the readiness probe of {', '.join(late)} fails" if late else "it is not ready"
    return fault(
        _LAYER,
        f"no pod of Service {backend.name} is ready: {pod.full_name}: {reason}",
        *said,
        mend=command_line.logs(pod.pod, late[0]) if late else command_line.describe(pod.pod),
        advice="why its app does not answer the probe; else mend the probe in its template",
    )
