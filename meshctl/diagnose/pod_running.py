"""Layer 1: the pods run (pure).

A pod that waits for its sidecar or for the interception is no fault of this layer: it is named as what it is.
"""

from difflib import get_close_matches

from control_plane.resources.container_status import ContainerStatus
from control_plane.resources.deployment import Deployment
from control_plane.resources.pod import Pod
from injector.template import INIT_CONTAINER, SIDECAR_CONTAINER
from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Backend, Cluster, Facts, PodFacts, SidecarFacts
from meshctl.diagnose.finding import Finding, Layer, fault, ok

_LAYER = Layer.POD
_STARTING = ("", "PodInitializing", "ContainerCreating")


def judge(facts: Facts) -> Finding:
    """The client first; of several backend pods one that runs is enough."""
    if facts.client is None:
        return _no_client(facts)
    found = why_not_running(facts.client, facts.cluster, "the client's pod")
    if found is None and facts.client.pod.metadata.deletion_timestamp:
        found = fault(
            _LAYER,
            f"pod {facts.client.full_name} is being deleted",
            mend=command_line.in_namespace("kubectl get pods", facts.client.namespace),
            advice="ask again about one that stays",
        )
    notes: list[str] = []
    for backend in facts.backends:
        found = found or _backend(backend, facts.cluster, notes)
    return found or ok(_LAYER, _summary(facts), *notes)


def _summary(facts: Facts) -> str:
    counts = [f"{len(backend.pods)} of {backend.name}" for backend in facts.backends if backend.pods]
    return f"client {facts.client.full_name if facts.client else '-'}; pods: {', '.join(counts) or 'none'}"


def _no_client(facts: Facts) -> Finding:
    wanted, namespace = facts.question.client, facts.namespace
    for deployment in facts.cluster.deployments:
        if (deployment.metadata.namespace, deployment.metadata.name) == (namespace, wanted):
            return _no_pods(deployment)
    every = {pod.metadata.name for pod in facts.cluster.pods}
    every |= {deployment.metadata.name for deployment in facts.cluster.deployments}
    close = get_close_matches(wanted, sorted(every), 3)
    return fault(
        _LAYER,
        f"there is no Pod or Deployment {wanted} in namespace {namespace}",
        f"there is {', '.join(close)}" if close else "",
        mend=command_line.in_namespace("kubectl get deployments,pods", namespace),
    )


def _no_pods(deployment: Deployment) -> Finding:
    name, namespace = deployment.metadata.name, deployment.metadata.namespace
    if deployment.spec.replicas == 0:
        return fault(
            _LAYER,
            f"Deployment {namespace}/{name} is scaled to 0",
            mend=command_line.in_namespace(f"kubectl scale deployment {name} --replicas=1", namespace),
        )
    failures = [one.message for one in deployment.status.conditions if one.type == "ReplicaFailure"]
    return fault(
        _LAYER,
        f"Deployment {namespace}/{name} has no pods",
        *failures,
        mend=command_line.in_namespace(f"kubectl describe deployment {name}", namespace),
        advice="its Events say why its pods cannot be made",
    )


def _backend(backend: Backend, cluster: Cluster, notes: list[str]) -> Finding | None:
    if not backend.pods:
        selector, namespace = backend.service.spec.selector, backend.service.metadata.namespace
        for deployment in cluster.deployments:
            labels = deployment.spec.template.metadata.labels
            if deployment.metadata.namespace == namespace and selector and selector.items() <= labels.items():
                return _no_pods(deployment)
        return None  # nobody has these labels: that is for the endpoints
    staying = [pod for pod in backend.pods if not pod.pod.metadata.deletion_timestamp]
    problems = [why_not_running(pod, cluster, f"a pod of {backend.name}") for pod in staying]
    found = [problem for problem in problems if problem is not None]
    if len(found) < len(problems) or not found:
        notes += [f"one of several: {problem.what}" for problem in found]
        return None
    return found[0]


def why_not_running(facts: PodFacts, cluster: Cluster, what: str) -> Finding | None:
    """None for a pod whose containers run."""
    pod = facts.pod
    if not pod.spec.node_name:
        return _unscheduled(pod, cluster, what)
    if pod.status.phase in ("Succeeded", "Failed"):
        return fault(
            _LAYER,
            f"{what}, {facts.full_name}, has ended: {pod.status.phase}",
            pod.status.message or pod.status.reason,
            mend=command_line.describe(pod),
        )
    for status in pod.status.init_container_statuses:
        found = _of_init_container(facts, status, what)
        if found is not None:
            return found
    for status in pod.status.container_statuses:
        if status.state.running is None:
            return _of_container(facts, status, what, cluster)
    if not pod.status.container_statuses:
        return _on_a_silent_node(facts, cluster, what)
    return None


def _unscheduled(pod: Pod, cluster: Cluster, what: str) -> Finding:
    said = events_about(pod, cluster, "FailedScheduling")
    said += tuple(one.message for one in pod.status.conditions if one.type == "PodScheduled")
    return fault(
        _LAYER,
        f"{what}, {pod.metadata.namespace}/{pod.metadata.name}, is on no node",
        *said[:1],
        mend=command_line.edit_owner(pod),
        advice="let spec.nodeSelector, affinity and tolerations fit a node that is ready (kubectl get nodes)",
    )


def _of_init_container(facts: PodFacts, status: ContainerStatus, what: str) -> Finding | None:
    pod, ended = facts.pod, status.state.terminated or status.last_state.terminated
    if status.name == SIDECAR_CONTAINER:
        app_runs = any(one.state.running is not None for one in pod.status.container_statuses)
        if app_runs or (status.started and status.state.running is not None):
            return None  # one that is no longer ready is for the sidecars' layer
        return sidecar_not_started(facts, status)
    if status.state.terminated is not None and status.state.terminated.exit_code == 0:
        return None
    if ended is None or ended.exit_code == 0:
        return None  # it runs, or waits for one before it
    layer = Layer.INTERCEPTION if status.name == INIT_CONTAINER else _LAYER
    return fault(
        layer,
        f"{what}, {facts.full_name}, does not start:"
        f" init container {status.name} ends with {ended.exit_code}",
        ended.message,
        mend=command_line.logs(pod, status.name),
    )


def sidecar_not_started(facts: PodFacts, status: ContainerStatus) -> Finding:
    """The app waits for a sidecar that is not ready for the first time."""
    said = facts.sidecar.not_ready if isinstance(facts.sidecar, SidecarFacts) else ()
    ended = status.state.terminated or status.last_state.terminated
    return fault(
        Layer.SIDECAR,
        f"the sidecar of {facts.full_name} has not become ready, and its app waits for it",
        *said,
        "" if ended is None else f"it ended with {ended.exit_code} {ended.message}".rstrip(),
        mend=command_line.logs(facts.pod, status.name),
        advice="it must reach the control plane: kubectl get pods,endpointslices -n meshproxy-system",
    )


def _of_container(facts: PodFacts, status: ContainerStatus, what: str, cluster: Cluster) -> Finding | None:
    pod, waiting = facts.pod, status.state.waiting
    ended = status.state.terminated or status.last_state.terminated
    name = f"container {status.name} of {what}, {facts.full_name}"
    if ended is not None:
        advice = "what it said before it ended; `kubectl describe pod` shows its command"
        return fault(
            _LAYER,
            f"{name}, does not keep running: it ended with {ended.exit_code} ({ended.reason or 'Error'})",
            ended.message,
            f"started again {status.restart_count} times",
            mend=command_line.logs(pod, status.name, previous=status.state.terminated is None),
            advice=advice,
        )
    if waiting is not None and waiting.reason not in _STARTING:
        return fault(
            _LAYER,
            f"{name}, cannot be started: {waiting.reason}",
            waiting.message,
            mend=command_line.edit_owner(pod),
        )
    return _on_a_silent_node(facts, cluster, what)


def _on_a_silent_node(facts: PodFacts, cluster: Cluster, what: str) -> Finding:
    pod = facts.pod
    for node in cluster.nodes:
        is_ready = any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)
        if node.metadata.name == pod.spec.node_name and not is_ready:
            return fault(
                _LAYER,
                f"{what}, {facts.full_name}, is not started: its node {node.metadata.name} is not ready",
                mend=f"kubectl describe node {node.metadata.name}",
            )
    warnings = tuple(
        f"{event.reason}: {event.message}"
        for event in cluster.events
        if event.type == "Warning" and event.involved_object.uid == pod.metadata.uid
    )
    return fault(
        _LAYER,
        f"{what}, {facts.full_name}, has not been started yet",
        *warnings[-2:],
        mend=command_line.describe(pod),
    )


def events_about(pod: Pod, cluster: Cluster, reason: str) -> tuple[str, ...]:
    """Messages of its Events of this reason, the newest first."""
    found = [
        event
        for event in cluster.events
        if event.reason == reason and event.involved_object.uid == pod.metadata.uid
    ]
    return tuple(event.message for event in sorted(found, key=lambda one: one.last_timestamp, reverse=True))
