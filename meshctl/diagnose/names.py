"""Layer 3: the name leads to the Service (pure)."""

from difflib import get_close_matches

from control_plane.resources.service import EXTERNAL_NAME
from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Facts, Resolution, Unseen
from meshctl.diagnose.finding import Finding, Layer, fault, ok, unseen
from meshctl.diagnose.question import service_of

_LAYER = Layer.DNS


def judge(facts: Facts) -> Finding:
    if facts.service is None:
        return _no_service(facts)
    found = facts.resolution
    if isinstance(found, Unseen):
        return unseen(_LAYER, found.why)
    if found.error:
        return _not_resolved(facts, found)
    wanted = _right_addresses(facts)
    if wanted and not wanted & set(found.addresses):
        return _elsewhere(facts, found, wanted)
    return ok(_LAYER, f"{facts.question.host} is {', '.join(found.addresses)}")


def _no_service(facts: Facts) -> Finding:
    namespace, name = service_of(facts.question.host, facts.namespace)
    elsewhere = sorted(one.metadata.namespace for one in facts.cluster.services if one.metadata.name == name)
    if elsewhere:
        return fault(
            _LAYER,
            f"{facts.question.host} means Service {namespace}/{name}, which does not exist",
            f"Service {name} is in namespace {', '.join(elsewhere)}",
            mend=f"meshctl diagnose '{facts.question.client} -> {name}.{elsewhere[0]}:{facts.port}'",
            advice=f"let the client call {name}.{elsewhere[0]}",
        )
    known = sorted(one.metadata.name for one in facts.cluster.services if one.metadata.namespace == namespace)
    close = get_close_matches(name, known, 3)
    return fault(
        _LAYER,
        f"there is no Service {name} in namespace {namespace}",
        f"there is {', '.join(close)}" if close else "",
        mend=command_line.in_namespace("kubectl get services", namespace),
    )


def _not_resolved(facts: Facts, found: Resolution) -> Finding:
    client = facts.client
    assert client is not None, "who asked"
    policy = client.pod.spec.dns_policy
    evidence = (
        found.error,
        f"resolv.conf: servers {', '.join(found.servers) or 'none'};"
        f" search {' '.join(found.searches) or 'none'}",
        f"dnsPolicy {policy}" if policy != "ClusterFirst" else "",
    )
    namespace, name = service_of(facts.question.host, facts.namespace)
    what = f"{facts.question.host} does not resolve in {client.full_name}"
    has_searches = any(one.endswith("svc.cluster.local") for one in found.searches)
    if policy != "ClusterFirst" and not (has_searches and found.servers):
        return fault(
            _LAYER,
            what,
            *evidence,
            mend=command_line.edit_owner(client.pod),
            advice=f"let dnsPolicy be ClusterFirst, or the app call {name}.{namespace}.svc.cluster.local",
        )
    return fault(
        _LAYER,
        what,
        *evidence,
        mend="kubectl get pods,endpointslices -n kube-system -l k8s-app=kube-dns",
        advice="in a lab the kubelet answers: meshctl lab status",
    )


def _right_addresses(facts: Facts) -> frozenset[str]:
    """Empty where anything may be right."""
    assert facts.service is not None, "judged before"
    spec = facts.service.spec
    if spec.type == EXTERNAL_NAME:
        return frozenset()
    # Endpoints too: a pod's own name in its hosts file may be that of a Service it is behind.
    slices = (one for backend in facts.backends for one in backend.slices)
    behind = {address for one in slices for each in one.endpoints for address in each.addresses}
    return frozenset(behind | set(spec.addresses))


def _elsewhere(facts: Facts, found: Resolution, wanted: frozenset[str]) -> Finding:
    client, host = facts.client, facts.question.host
    assert client is not None, "who asked"
    aliases = [
        f"hostAliases of the pod: {alias.ip} {' '.join(alias.hostnames)}"
        for alias in client.pod.spec.host_aliases
        if host in alias.hostnames
    ]
    advice = "take the name out of hostAliases" if aliases else "see dnsPolicy, dnsConfig and hostAliases"
    return fault(
        _LAYER,
        f"{host} resolves in {client.full_name} to {', '.join(found.addresses)}, which is not the Service",
        f"the Service has {', '.join(facts.service.spec.addresses if facts.service else ()) or 'its pods'}",
        *aliases,
        mend=command_line.edit_owner(client.pod),
        advice=advice,
    )
