"""Layers 7 to 9: sidecars are ready, have their configuration, and certificates that peers believe (pure)."""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.translate import names
from injector.template import SIDECAR_CONTAINER
from lab.controllers.service_endpoint import target_of
from meshctl.diagnose import command_line
from meshctl.diagnose.facts import Facts, PodFacts, SidecarFacts, Unseen, has_sidecar, place
from meshctl.diagnose.finding import Finding, Layer, absent, fault, ok, unseen
from meshctl.diagnose.interception import settings_in
from meshctl.json_value import member, objects, text
from meshctl.proxy_status import TYPES

_NACKED, _STALE = "NACKED", "STALE"
_CONTROL_PLANE = "kubectl get endpointslices -n meshproxy-system"
_LAB = "the control plane must run and be reached: in a lab see meshctl lab status"


def judge_ready(facts: Facts) -> Finding:
    seen, blind = 0, ""
    for pod in facts.pods:
        sidecar = pod.sidecar
        if sidecar is None:
            continue
        if isinstance(sidecar, Unseen):
            blind = sidecar.why
            continue
        if sidecar.problem or sidecar.not_ready:
            return _not_ready(pod, sidecar)
        seen += 1
    if seen:
        return ok(Layer.SIDECAR, f"{seen} ready", blind)
    return unseen(Layer.SIDECAR, blind) if blind else absent(Layer.SIDECAR, "no pod has a sidecar")


def _not_ready(pod: PodFacts, sidecar: SidecarFacts) -> Finding:
    if sidecar.problem:
        statuses = (*pod.pod.status.init_container_statuses, *pod.pod.status.container_statuses)
        counts = [one.restart_count for one in statuses if one.name == SIDECAR_CONTAINER]
        return fault(
            Layer.SIDECAR,
            f"the sidecar of {pod.full_name} does not answer",
            sidecar.problem,
            f"started again {counts[0]} times" if any(counts) else "",
            mend=command_line.renew(pod.pod),
            advice=f"what it said: {command_line.logs(pod.pod, SIDECAR_CONTAINER)}",
        )
    if "draining" in sidecar.not_ready:
        return fault(
            Layer.SIDECAR,
            f"the sidecar of {pod.full_name} is draining: it takes no new work",
            mend=command_line.renew(pod.pod),
        )
    return fault(
        Layer.SIDECAR,
        f"the sidecar of {pod.full_name} is not ready",
        *sidecar.not_ready,
        mend=_CONTROL_PLANE,
        advice=_LAB,
    )


# --- configuration ---


def judge_configuration(facts: Facts) -> Finding:
    layer, notes = Layer.CONFIGURATION, []
    for pod in facts.pods:
        if has_sidecar(pod.pod) and (found := _refused(pod)) is not None:
            return found
        if isinstance(pod.sidecar, SidecarFacts) and not member(pod.sidecar.info, "xds", "connected"):
            notes.append(f"{pod.full_name} is not connected to the control plane, and works with what it has")
    client = facts.client
    if client is None or client.sidecar is None:
        return ok(layer, "the client has no sidecar", *notes)
    if isinstance(client.sidecar, Unseen):
        return unseen(layer, client.sidecar.why)
    return _knows_service(facts, client, client.sidecar) or ok(layer, "in force", *notes)


def _refused(pod: PodFacts) -> Finding | None:
    if isinstance(pod.sidecar, SidecarFacts) and (problem := text(pod.sidecar.info, "configuration_error")):
        return fault(
            Layer.CONFIGURATION,
            f"the sidecar of {pod.full_name} cannot put its configuration in force",
            problem,
            mend=command_line.logs(pod.pod, SIDECAR_CONTAINER),
        )
    if pod.sync is None or isinstance(pod.sync, Unseen):
        return None
    for kind in TYPES:
        state = text(pod.sync, "types", kind, "state")
        if state == _NACKED:
            return fault(
                Layer.CONFIGURATION,
                f"the sidecar of {pod.full_name} refuses the {kind} of its configuration and keeps the last",
                text(pod.sync, "types", kind, "nackedReason"),
                mend="meshctl proxy-status",
                advice="take back the object that the reason names, or the last one that was applied",
            )
        if state == _STALE:
            return fault(
                Layer.CONFIGURATION,
                f"the sidecar of {pod.full_name} has not acknowledged the {kind} that it was sent",
                mend=command_line.renew(pod.pod),
                advice=f"why: {command_line.logs(pod.pod, SIDECAR_CONTAINER)}",
            )
    return None


def _knows_service(facts: Facts, client: PodFacts, sidecar: SidecarFacts) -> Finding | None:
    if settings_in(client.pod) is None:
        return None  # a gateway knows what its routes name, and no more
    known = {text(cluster, "name"): cluster for cluster in sidecar.clusters}
    is_connected = bool(member(sidecar.info, "xds", "connected"))
    mend = "meshctl proxy-status" if is_connected else _CONTROL_PLANE
    advice = "" if is_connected else _LAB
    connected = "" if is_connected else f"not connected: {text(sidecar.info, 'xds', 'last_error')}"
    for backend in facts.backends:
        meta = backend.service.metadata
        host = f"{meta.name}.{meta.namespace}.svc.{names.CLUSTER_DOMAIN}"
        cluster = known.get(f"outbound|{backend.port}||{host}")
        port = backend.service_port
        if port is None or port.protocol != "TCP":
            continue
        if cluster is None:
            return fault(
                Layer.CONFIGURATION,
                f"the sidecar of {client.full_name} does not know port {backend.port}"
                f" of Service {backend.name}",
                connected,
                mend=mend,
                advice=advice,
            )
        has = {text(one, "address") for one in objects(cluster.get("endpoints"))}
        if backend.ready_addresses and not has & backend.ready_addresses:
            return fault(
                Layer.CONFIGURATION,
                f"the sidecar of {client.full_name} knows none of the ready endpoints"
                f" of Service {backend.name}",
                f"it has {', '.join(sorted(has)) or 'none'};"
                f" ready are {', '.join(sorted(backend.ready_addresses))}",
                connected,
                mend=mend,
                advice=advice,
            )
    return None


# --- certificate ---


def judge_certificate(facts: Facts) -> Finding:
    seen, blind, notes = 0, "", []
    for pod in facts.pods:
        if isinstance(pod.sidecar, Unseen):
            blind = pod.sidecar.why
        if not isinstance(pod.sidecar, SidecarFacts):
            continue
        if (found := _of_pod(pod, pod.sidecar, facts.now)) is not None:
            return found
        if error := text(pod.sidecar.certificates, "last_error"):
            notes.append(f"{pod.full_name} has not renewed its certificate yet: {error}")
        seen += 1
    if (found := _strangers(facts)) is not None:
        return found
    if seen:
        return ok(Layer.CERTIFICATE, f"{seen} valid", *notes, blind)
    return unseen(Layer.CERTIFICATE, blind) if blind else absent(Layer.CERTIFICATE, "no pod has a sidecar")


def _of_pod(pod: PodFacts, sidecar: SidecarFacts, now: float) -> Finding | None:
    certificate, error = member(sidecar.certificates, "certificate"), text(sidecar.certificates, "last_error")
    if certificate is None:
        return fault(
            Layer.CERTIFICATE,
            f"the sidecar of {pod.full_name} has no certificate",
            error,
            mend=_CONTROL_PLANE,
            advice=_LAB,
        )
    until, since = _moment(certificate, "expiration_time"), _moment(certificate, "valid_from")
    if until is not None and until <= now:
        how = "has expired"
    elif since is not None and since > now:
        how = "is not valid yet: the clocks of its node and of the CA differ"
    else:
        return None
    return fault(
        Layer.CERTIFICATE,
        f"the certificate of {pod.full_name} {how}",
        f"valid from {text(certificate, 'valid_from')} to {text(certificate, 'expiration_time')}",
        error,
        mend=_CONTROL_PLANE,
        advice=_LAB,
    )


def _moment(certificate: object, name: str) -> float | None:
    """Seconds since the epoch."""
    found = text(certificate, name)
    return datetime.fromisoformat(found).timestamp() if found else None


def _strangers(facts: Facts) -> Finding | None:
    """Peers whose certificate the client's sidecar would not believe."""
    client = facts.client
    if client is None or not isinstance(client.sidecar, SidecarFacts):
        return None
    roots = _certificates(text(client.sidecar.certificates, "ca_cert"))
    for backend in facts.backends:
        port = backend.service_port
        for pod in backend.used_pods:
            if not isinstance(pod.sidecar, SidecarFacts) or port is None:
                continue
            theirs = _certificates(text(pod.sidecar.certificates, "ca_cert"))
            if roots and theirs and not roots & theirs:
                return fault(
                    Layer.CERTIFICATE,
                    f"{client.full_name} and {pod.full_name} believe in different roots",
                    mend=command_line.renew(pod.pod),
                    advice="one of them has its first root from before the CA was replaced",
                )
            target = target_of(port, pod.pod)
            found = None if target is None else _misnamed(client.sidecar, pod, pod.sidecar, target)
            if found is not None:
                return found
    return None


def _misnamed(client: SidecarFacts, pod: PodFacts, theirs: SidecarFacts, target: int) -> Finding | None:
    own = text(theirs.certificates, "certificate", "spiffe_id")
    address = place(pod.pod.status.pod_ip, target)
    wanted = {
        text(endpoint, "spiffe_id")
        for cluster in client.clusters
        for endpoint in objects(cluster.get("endpoints"))
        if text(endpoint, "address") == address and endpoint.get("tls")
    } - {""}
    if not own or not wanted or own in wanted:
        return None
    return fault(
        Layer.CERTIFICATE,
        f"{pod.full_name} proves to be {own}, but clients expect {', '.join(sorted(wanted))}",
        mend=command_line.renew(pod.pod),
        advice="its service account is another than its certificate's",
    )


def _certificates(pem: str) -> frozenset[bytes]:
    if not pem:
        return frozenset()
    found = x509.load_pem_x509_certificates(pem.encode())
    return frozenset(one.public_bytes(Encoding.DER) for one in found)
