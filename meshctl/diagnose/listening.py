"""Layer 2: the app listens where its Service leads to (pure)."""

from ipaddress import ip_address

from control_plane.resources.pod import Pod
from lab.controllers.service_endpoint import target_of
from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Backend, Facts, Listening, PodFacts, PodInside, Unseen
from meshctl.diagnose.finding import Finding, Layer, absent, fault, ok, unseen

_LAYER = Layer.LISTENING
SIDECAR_PORTS = frozenset({15000, 15001, 15006, 15020, 15021, 15053, 15090})


def judge(facts: Facts) -> Finding:
    """Every pod that gets traffic, because one that does not listen fails its share of the requests."""
    seen, blind = 0, ""
    for backend in facts.backends:
        for pod in backend.used_pods:
            target = _target(backend, pod.pod)
            if target is None or not _runs(pod.pod):
                continue
            if isinstance(pod.inside, Unseen):
                blind = pod.inside.why
                continue
            seen += 1
            if (found := _of_pod(backend, pod, pod.inside, target)) is not None:
                return found
    if seen:
        return ok(_LAYER, f"{seen} {'pod listens' if seen == 1 else 'pods listen'}", blind)
    return unseen(_LAYER, blind) if blind else absent(_LAYER, "no pod to look at")


def _target(backend: Backend, pod: Pod) -> int | None:
    """None too for UDP, which nobody proxies."""
    port = backend.service_port
    return None if port is None or port.protocol != "TCP" else target_of(port, pod)


def _runs(pod: Pod) -> bool:
    return all(status.state.running is not None for status in pod.status.container_statuses)


def _of_pod(backend: Backend, pod: PodFacts, inside: PodInside, target: int) -> Finding | None:
    own = {one.ip for one in pod.pod.status.pod_ips} | {pod.pod.status.pod_ip}
    there = [one for one in inside.listening if one.port == target]
    if any(_is_any(one.address) or one.address in own for one in there):
        return None
    if there:
        return fault(
            _LAYER,
            f"the app in {pod.full_name} listens on {there[0].address}:{target} only, where nobody else gets",
            _all(inside, target),
            mend=command_line.edit_owner(pod.pod),
            advice="let it listen on 0.0.0.0: its --host or --bind option, or its configuration",
        )
    return _nobody(backend, pod, inside, target)


def _nobody(backend: Backend, pod: PodFacts, inside: PodInside, target: int) -> Finding:
    others = sorted({one.port for one in inside.listening} - SIDECAR_PORTS)
    what = f"nothing listens on port {target} in {pod.full_name}, where Service {backend.name} leads to"
    if len(others) != 1:
        container = pod.pod.spec.containers[0].name
        return fault(_LAYER, what, _all(inside, 0), mend=command_line.logs(pod.pod, container))
    meta = backend.service.metadata
    number = next(i for i, one in enumerate(backend.service.spec.ports) if one.port == backend.port)
    path = f"/spec/ports/{number}/targetPort"
    return fault(
        _LAYER,
        what,
        f"the app listens on {others[0]}",
        mend=command_line.patch_service(
            meta.name, meta.namespace, [{"op": "add", "path": path, "value": others[0]}]
        ),
        advice="or let the app listen where the Service says",
    )


def _all(inside: PodInside, wanted: int) -> str:
    shown = [one for one in inside.listening if one.port == wanted or one.port not in SIDECAR_PORTS]
    return f"it listens on {', '.join(sorted(map(_shown, shown)))}" if shown else "it listens on no port"


def _shown(one: Listening) -> str:
    return f"[{one.address}]:{one.port}" if ":" in one.address else f"{one.address}:{one.port}"


def _is_any(address: str) -> bool:
    return ip_address(address).is_unspecified
