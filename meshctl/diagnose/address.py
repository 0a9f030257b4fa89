"""Layer 5: packets get from the client's pod to the pods behind the Service, and to its own address (pure).

What is tried goes past the client's sidecar, by its user; at the other end it meets the pod's own sidecar.
"""

import shlex

from lab.controllers.service_endpoint import target_of
from meshctl.diagnose.command_line import describe
from meshctl.diagnose.facts import Facts, PodFacts, SidecarFacts, Unseen, place
from meshctl.diagnose.finding import Finding, Layer, absent, fault, ok, unseen

_LAYER = Layer.ADDRESS
REFUSED = "refused"
"""How a refusal is told in `Facts.reached`."""


def judge(facts: Facts) -> Finding:
    if isinstance(facts.reached, Unseen):
        return unseen(_LAYER, facts.reached.why)
    tried = []
    for backend in facts.backends:
        port = backend.service_port
        for pod in backend.used_pods:
            target = None if port is None else target_of(port, pod.pod)
            address = "" if target is None else place(pod.pod.status.pod_ip, target)
            problem = facts.reached.get(address)
            if problem is None:
                continue
            tried.append(address)
            if problem and not _is_for_the_sidecar(pod, problem):
                return _not_reached(facts, pod, address, problem)
    return _service(facts, tried)


def _is_for_the_sidecar(pod: PodFacts, problem: str) -> bool:
    """The interception of a pod leads into its sidecar: one that does not answer refuses all."""
    return (
        REFUSED in problem
        and isinstance(pod.sidecar, SidecarFacts)
        and bool(pod.sidecar.problem or pod.sidecar.not_ready)
    )


def _not_reached(facts: Facts, pod: PodFacts, address: str, problem: str) -> Finding:
    client = facts.client
    assert client is not None, "who tried"
    blocking = [*_refusals(client), *_refusals(pod)]
    what = f"{client.full_name} does not reach {address}, which is {pod.full_name}: {problem}"
    if blocking:
        rule, pid = blocking[0]
        return fault(
            _LAYER,
            what,
            *(rule for rule, _ in blocking),
            mend=_without(rule, pid),
            advice="on the pod's node; or mend what has put the rule there",
        )
    return fault(
        _LAYER,
        what,
        f"{client.full_name} is on node {client.pod.spec.node_name}",
        f"{pod.full_name} is on node {pod.pod.spec.node_name}",
        mend=describe(pod.pod),
        advice="the pods' network is broken: the nodes' routes, rules that drop, a kubelet that is dead",
    )


def _without(rule: str, pid: int) -> str:
    """Words of a rule, such as its comment, are the pod's: none of them is a shell's."""
    try:
        words = shlex.split(rule.replace("-A ", "-D ", 1))
    except ValueError:
        return f"nsenter --target {pid} --net iptables --list-rules"
    return f"nsenter --target {pid} --net iptables -t filter {shlex.join(words)}"


def _refusals(pod: PodFacts) -> list[tuple[str, int]]:
    inside = pod.inside
    return [] if isinstance(inside, Unseen) else [(rule, inside.pid) for rule in inside.refusals]


def _service(facts: Facts, tried: list[str]) -> Finding:
    if isinstance(facts.service_reached, str) and facts.service_reached:
        client, service = facts.client, facts.service
        assert client is not None, "who tried"
        assert service is not None, "what"
        node = client.pod.spec.node_name
        return fault(
            _LAYER,
            f"the pods are reached, but not the Service's address"
            f" {place(service.spec.cluster_ip, facts.port)}: {facts.service_reached}",
            f"{client.full_name} has no sidecar: node {node} translates the address",
            "internalTrafficPolicy is Local: only endpoints of this node count"
            if service.spec.internal_traffic_policy == "Local"
            else "",
            mend=f"kubectl describe node {node}",
            advice="who keeps the node's rules for Services is dead or behind: in a lab, meshctl lab status",
        )
    if not tried:
        return absent(_LAYER, "no address to try")
    return ok(_LAYER, f"{', '.join(tried)} reached")
