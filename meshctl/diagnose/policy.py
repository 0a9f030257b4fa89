"""Layer 10: nothing that somebody has asked for keeps requests away (pure)."""

from control_plane.discovery.parse import TLS_MODE_LABEL, TLS_MODE_MUTUAL
from lab.controllers.service_endpoint import target_of
from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Backend, Facts, PodFacts, SidecarFacts, has_sidecar
from meshctl.diagnose.finding import Finding, Layer, fault, ok
from meshctl.diagnose.interception import bypass, takes_inbound
from meshctl.json_value import JsonObject, member, objects, text

_LAYER = Layer.POLICY


def judge(facts: Facts) -> Finding:
    notes: list[str] = []
    return (
        _plaintext(facts, notes)
        or _pretended(facts)
        or _routes(facts, notes)
        or _faults(facts, notes)
        or ok(_LAYER, "nothing stands in the way", *notes)
    )


# --- mutual TLS ---


def _plaintext(facts: Facts, notes: list[str]) -> Finding | None:
    """The client calls without the mesh somebody who takes only the mesh's calls."""
    client = facts.client
    assert client is not None, "judged before"
    address = "" if facts.service is None else next(iter(facts.service.spec.addresses), "")
    why = bypass(client.pod, address, facts.port)
    if not why:
        return None
    for backend in facts.backends:
        for pod in backend.used_pods:
            takes = takes_plaintext(pod, backend)
            if takes is None:
                notes.append(
                    f"whether {pod.full_name} takes plaintext was not seen; the client sends it: {why}"
                )
            elif not takes:
                return _strict(facts, client, pod, why)
    return None


def takes_plaintext(pod: PodFacts, backend: Backend) -> bool | None:
    """None: its sidecar could not be asked."""
    port = backend.service_port
    target = None if port is None else target_of(port, pod.pod)
    if target is None or not takes_inbound(pod.pod, target):
        return True
    if not isinstance(pod.sidecar, SidecarFacts):
        return None
    listener = member(pod.sidecar.config, "lds", "resources", "virtualInbound")
    if listener is None:
        return None
    return any(_is_plain(chain, target) for chain in objects(member(listener, "filter_chains")))


def _is_plain(chain: JsonObject, port: int) -> bool:
    match = member(chain, "filter_chain_match")
    return text(match, "destination_port") in ("", str(port)) and text(match, "transport_protocol") in (
        "",
        "raw_buffer",
    )


def _strict(facts: Facts, client: PodFacts, pod: PodFacts, why: str) -> Finding:
    what = f"{pod.full_name} takes mutual TLS only (STRICT), and {client.full_name} sends plaintext: {why}"
    if has_sidecar(client.pod):
        return fault(
            _LAYER,
            what,
            mend=command_line.edit_owner(client.pod),
            advice="take the port or range out of the annotation in its template",
        )
    if client.namespace in facts.cluster.injected_namespaces:
        return fault(
            _LAYER,
            what,
            f"namespace {client.namespace} injects sidecars, but the pod has none: it is older, or declines",
            mend=command_line.renew(client.pod),
        )
    return fault(
        _LAYER,
        what,
        mend=f"kubectl label namespace {client.namespace} meshproxy.io/injection=enabled"
        f" && {command_line.renew(client.pod)}",
        advice="or let the mesh take plaintext too: PERMISSIVE",
    )


def _pretended(facts: Facts) -> Finding | None:
    """A pod that says it speaks the mesh's TLS, and has nobody who does."""
    client = facts.client
    if client is None or client.sidecar is None:
        return None
    for backend in facts.backends:
        for pod in backend.used_pods:
            label = pod.pod.metadata.labels.get(TLS_MODE_LABEL)
            if label == TLS_MODE_MUTUAL and not has_sidecar(pod.pod):
                return fault(
                    _LAYER,
                    f"{pod.full_name} has the label {TLS_MODE_LABEL}={TLS_MODE_MUTUAL}, but no sidecar:"
                    " clients send TLS to its app",
                    mend=command_line.edit_owner(pod.pod),
                    advice="take the label out of its template, which is the injector's to set",
                )
    return None


# --- routes and faults ---


def _routes(facts: Facts, notes: list[str]) -> Finding | None:
    for route in facts.routes:
        mend = f"kubectl edit {route.kind.lower()} {route.name} -n {route.namespace}"
        if route.problems:
            return fault(_LAYER, f"{route} does not hold as it is", *route.problems, mend=mend)
        for number, rule in enumerate(route.rules):
            if rule.leads_nowhere:
                return fault(
                    _LAYER,
                    f"rules[{number}] of {route} leads nowhere: no backend, or all of weight 0",
                    mend=mend,
                    advice="give a backend a weight above 0",
                )
        notes.append(f"{route} decides where requests go; those that it does not match are answered 404")
    return None


def _faults(facts: Facts, notes: list[str]) -> Finding | None:
    for policy in facts.fault_policies:
        name = f"FaultPolicy {policy.metadata.namespace}/{policy.metadata.name}"
        abort, delay = policy.spec.abort, policy.spec.delay
        if policy.spec.headers:
            notes.append(f"{name} disturbs requests with certain headers")
        elif abort is not None and abort.percent > 0 and abort.is_failure:
            return fault(
                _LAYER,
                f"{name} answers {abort.percent:g} % of the requests with {abort.answer}",
                mend=f"kubectl delete faultpolicy {policy.metadata.name} -n {policy.metadata.namespace}",
                advice="it does so on purpose: delete it when the experiment is over",
            )
        elif delay is not None:
            notes.append(f"{name} delays {delay.percent:g} % of the requests by {delay.fixed}")
    return None
