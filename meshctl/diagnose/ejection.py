"""Layer 11: the client's sidecar has not shut out all endpoints for what they did (pure)."""

from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Facts, SidecarFacts, Unseen
from meshctl.diagnose.finding import Finding, Layer, absent, fault, ok, unseen
from meshctl.diagnose.traffic import destinations
from meshctl.json_value import JsonObject, objects, text

_LAYER = Layer.EJECTION
_OPEN, _UNHEALTHY = "open", "unhealthy"


def judge(facts: Facts) -> Finding:
    client = facts.client
    if client is None or client.sidecar is None or facts.service is None:
        return absent(_LAYER, "the client has no sidecar")
    if isinstance(client.sidecar, Unseen):
        return unseen(_LAYER, client.sidecar.why)
    notes: list[str] = []
    for cluster in _clusters(facts, client.sidecar):
        every = objects(cluster.get("endpoints"))
        shut = [(text(one, "address"), why) for one in every if (why := _shut_out(one))]
        lines = [f"{address}: {why}" for address, why in shut]
        if every and len(shut) == len(every):
            return _all_shut(facts, text(cluster, "name"), lines)
        notes += lines
        if (overflows := text(cluster, "overflows")) not in ("", "0"):
            notes.append(f"{text(cluster, 'name')}: limits of a TrafficPolicy refused {overflows} requests")
    return ok(_LAYER, "nobody is shut out" if not notes else "others are left", *notes)


def _clusters(facts: Facts, sidecar: SidecarFacts) -> list[JsonObject]:
    assert facts.service is not None, "judged before"
    meta = facts.service.metadata
    host = f"{meta.name}.{meta.namespace}.svc.cluster.local"
    wanted = destinations(sidecar, host, facts.port)
    return [cluster for cluster in sidecar.clusters if text(cluster, "name") in wanted]


def _shut_out(endpoint: JsonObject) -> str:
    if endpoint.get("is_ejected"):
        return f"ejected after failures in a row, {text(endpoint, 'ejections') or 'some'} times so far"
    if text(endpoint, "health_check") == _UNHEALTHY:
        return "fails its health check"
    if text(endpoint, "circuit_breaker") == _OPEN:
        return "its circuit breaker is open"
    return ""


def _all_shut(facts: Facts, cluster: str, lines: list[str]) -> Finding:
    assert facts.client is not None, "judged before"
    pods = [pod for backend in facts.backends for pod in backend.used_pods]
    if pods:
        mend = command_line.logs(pods[0].pod, pods[0].pod.spec.containers[0].name)
    else:
        mend = command_line.in_namespace("kubectl get pods", facts.namespace)
    return fault(
        _LAYER,
        f"the sidecar of {facts.client.full_name} has shut out every endpoint of {cluster}",
        *lines,
        mend=mend,
        advice="the app answers with errors: mend it; they are let in again by themselves. When too early is"
        " shut out: outlierDetection, circuitBreaker, healthCheck of the TrafficPolicy",
    )
