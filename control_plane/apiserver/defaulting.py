"""What Kubernetes fills into its own kinds where nothing is said (pure).

Clients rely on it: `kubectl describe` reads `spec.replicas` of a Deployment without looking whether it is
there.
The values are those of the models; here they are written into what is stored and told.
"""

import base64
from collections.abc import Callable, Mapping

from control_plane.resources.manifest import Manifest, labels_of, name_of, section, with_metadata

NAME_LABEL = "kubernetes.io/metadata.name"
"""Of every Namespace, so that selectors can name it."""
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_FILE_VOLUMES = ("configMap", "secret", "downwardAPI", "projected")
_FILE_MODE = 0o644
_POD_SPEC: Manifest = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
_CONTAINER: Manifest = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE: Manifest = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_ROLLING: Manifest = {"maxUnavailable": "25%", "maxSurge": "25%"}
_SESSION_SECONDS = 10_800


def defaulted(kind: str, manifest: Manifest) -> Manifest:
    """A copy with the defaults of its kind; the object itself for kinds without any.

    Expects nothing of what a client sent: what is of the wrong type stays for validation to refuse.
    """
    change = _BY_KIND.get(kind)
    return manifest if change is None else change(manifest)


def _filled(values: Mapping[str, object], defaults: Mapping[str, object]) -> Manifest:
    return {**values, **{field: value for field, value in defaults.items() if values.get(field) is None}}


def _with_spec(change: Callable[[Manifest], Manifest]) -> Callable[[Manifest], Manifest]:
    def changed(manifest: Manifest) -> Manifest:
        if not isinstance(manifest.get("spec"), dict):
            return manifest
        return {**manifest, "spec": change(section(manifest, "spec"))}

    return changed


def _each(values: Manifest, field: str, change: Callable[[Manifest], Manifest]) -> Manifest:
    """With `change` made to every object of the list under `field`."""
    found = values.get(field)
    if not isinstance(found, list):
        return values
    return {**values, field: [change(one) if isinstance(one, dict) else one for one in found]}


def _within(values: Manifest, field: str, change: Callable[[Manifest], Manifest]) -> Manifest:
    """With `change` made to the object under `field`, if there is one."""
    found = values.get(field)
    return {**values, field: change(found)} if isinstance(found, dict) else values


# --- pods


def _pod(spec: Manifest) -> Manifest:
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    own: Manifest = {"enableServiceLinks": True, "serviceAccountName": account, "serviceAccount": account}
    return _filled(_pod_spec(spec), own)


def _pod_spec(spec: Manifest) -> Manifest:
    spec = _filled(spec, _POD_SPEC)
    for field in ("initContainers", "containers"):
        spec = _each(spec, field, _container)
    return _each(spec, "volumes", _volume)


def _container(container: Manifest) -> Manifest:
    container = _filled(container, {**_CONTAINER, "imagePullPolicy": _pull_policy(container)})
    container = _each(container, "ports", _tcp)
    container = _each(container, "env", _variable)
    for field in _PROBES:
        container = _within(container, field, _probe)
    return _within(container, "lifecycle", _hooks)


def _hooks(lifecycle: Manifest) -> Manifest:
    return _within(_within(lifecycle, "postStart", _handler), "preStop", _handler)


def _pull_policy(container: Manifest) -> str:
    image = str(container.get("image") or "")
    name = image.partition("@")[0].rpartition("/")[2]
    tag = name.partition(":")[2]
    is_moving = "@" not in image and tag in ("", "latest")
    return "Always" if is_moving else "IfNotPresent"


def _tcp(port: Manifest) -> Manifest:
    return _filled(port, {"protocol": "TCP"})


def _variable(variable: Manifest) -> Manifest:
    return _within(
        variable,
        "valueFrom",
        lambda source: _within(source, "fieldRef", lambda ref: _filled(ref, {"apiVersion": "v1"})),
    )


def _probe(probe: Manifest) -> Manifest:
    probe = _within(probe, "grpc", lambda grpc: _filled(grpc, {"service": ""}))
    return _filled(_handler(probe), _PROBE)


def _handler(handler: Manifest) -> Manifest:
    return _within(handler, "httpGet", lambda get: _filled(get, {"path": "/", "scheme": "HTTP"}))


def _volume(volume: Manifest) -> Manifest:
    for field in _FILE_VOLUMES:
        volume = _within(volume, field, lambda source: _filled(source, {"defaultMode": _FILE_MODE}))
    return _within(volume, "projected", lambda source: _each(source, "sources", _projection))


def _projection(source: Manifest) -> Manifest:
    return _within(source, "serviceAccountToken", lambda token: _filled(token, {"expirationSeconds": 3600}))


# --- what makes pods


def _templated(spec: Manifest) -> Manifest:
    return _within(spec, "template", _with_spec(_pod_spec))


def _deployment(spec: Manifest) -> Manifest:
    limits: Manifest = {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {},
    }
    return _within(_filled(_templated(spec), limits), "strategy", _strategy)


def _strategy(strategy: Manifest) -> Manifest:
    strategy = _filled(strategy, {"type": "RollingUpdate"})
    if strategy["type"] != "RollingUpdate":
        return strategy
    filled = _filled(strategy, {"rollingUpdate": {}})
    return _within(filled, "rollingUpdate", lambda rolling: _filled(rolling, _ROLLING))


def _replica_set(spec: Manifest) -> Manifest:
    return _filled(_templated(spec), {"replicas": 1})


def _job(spec: Manifest) -> Manifest:
    # A Job that says nothing is done after one success; one that says how many run at once, when they agree.
    alone: Manifest = {} if spec.get("parallelism") is not None else {"completions": 1}
    rest: Manifest = {"parallelism": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": False}
    return _filled(_templated(spec), {**alone, **rest, "podReplacementPolicy": "TerminatingOrFailed"})


# --- the rest


def _service(spec: Manifest) -> Manifest:
    spec = _filled(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["sessionAffinity"] == "ClientIP":
        spec = _filled(spec, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": _SESSION_SECONDS}}})
    if spec["type"] != "ExternalName":
        spec = _filled(spec, {"internalTrafficPolicy": "Cluster"})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec = _filled(spec, {"externalTrafficPolicy": "Cluster"})
    return _each(spec, "ports", lambda port: _filled(_tcp(port), {"targetPort": port.get("port")}))


def _endpoint_slice(manifest: Manifest) -> Manifest:
    return _each(manifest, "ports", lambda port: _filled(port, {"name": "", "protocol": "TCP"}))


def _secret(manifest: Manifest) -> Manifest:
    """Values given as text become part of `data`, as they are never told again."""
    manifest = _filled(manifest, {"type": "Opaque"})
    texts = section(manifest, "stringData")
    if not texts or not all(isinstance(value, str) for value in texts.values()):
        return manifest
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
    rest = {field: value for field, value in manifest.items() if field != "stringData"}
    return {**rest, "data": {**section(manifest, "data"), **encoded}}


def _namespace(manifest: Manifest) -> Manifest:
    name = name_of(manifest)
    labels = labels_of(manifest)
    if not name or labels.get(NAME_LABEL) == name:
        return manifest
    return with_metadata(manifest, labels={**labels, NAME_LABEL: name})


_BY_KIND: Mapping[str, Callable[[Manifest], Manifest]] = {
    "Pod": _with_spec(_pod),
    "Deployment": _with_spec(_deployment),
    "ReplicaSet": _with_spec(_replica_set),
    "Job": _with_spec(_job),
    "Service": _with_spec(_service),
    "EndpointSlice": _endpoint_slice,
    "Secret": _secret,
    "Namespace": _namespace,
}
