"""The app's probes, turned to the sidecar and back (pure).

The kubelet probes from the node, in plaintext and without an identity: strict mTLS would refuse it. So what
it asks is rewritten to the sidecar's port 15020, and what the pod said travels to the sidecar as JSON
(`meshproxy.local_app.probe` reads it). Paths and shape are Istio's (`ISTIO_KUBE_APP_PROBERS`). Left as they
are: `exec` probes, which never touch the network; probes with a `host`, which are not aimed at the pod; and
what the sidecar itself answers.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

PROBES_VARIABLE: Final = "MESHPROXY_APP_PROBES"
STATUS_PORT: Final = 15020
_OWN_PORTS: Final = frozenset({STATUS_PORT, 15021, 15090})
_MAX_TIMEOUT: Final = 3600
"""Seconds; what the sidecar takes at most."""

_PROBES: Final = {
    "livenessProbe": "/app-health/{}/livez",
    "readinessProbe": "/app-health/{}/readyz",
    "startupProbe": "/app-health/{}/startupz",
}
_HOOKS: Final = {"postStart": "/app-lifecycle/{}/poststartz", "preStop": "/app-lifecycle/{}/prestopz"}
_KNOWN: Final = {
    "httpGet": ("port", "path", "scheme", "httpHeaders"),
    "tcpSocket": ("port",),
    "grpc": ("port", "service"),
}
_HOOK_TIMEOUT: Final = 60
"""Seconds. Kubernetes has no limit of its own for a hook but the pod's grace period."""

JsonObject = dict[str, object]


@dataclass(slots=True)
class RewrittenProbes:
    """What came of one pod's probes."""

    asked: dict[str, JsonObject] = field(default_factory=dict)
    """By the path that the kubelet asks for now: what the sidecar asks the app."""
    warnings: list[str] = field(default_factory=list)

    @property
    def variable(self) -> str:
        """The value of `PROBES_VARIABLE`; empty when the sidecar has nothing to ask.

        Without a dollar sign, which Kubernetes would take for the start of another variable's name.
        """
        text = json.dumps(self.asked, separators=(",", ":"), sort_keys=True) if self.asked else ""
        return text.replace("$", "\\u0024")


def turn_to_sidecar(containers: Iterable[JsonObject]) -> RewrittenProbes:
    """Rewrite the probes and the HTTP lifecycle hooks of `containers`, which are changed in place."""
    result = RewrittenProbes()
    for container in containers:
        for holder, name, path in _places(container):
            action = holder.get(name)
            if isinstance(action, dict):
                _turn(container, holder, name, path, result)
    return result


def turn_back(containers: Iterable[JsonObject], variable: str) -> None:
    """Undo `turn_to_sidecar` on `containers`, changed in place, by the variable that it gave.

    A probe that somebody has changed since is left as it is. Raises ValueError when `variable` is not ours.
    """
    asked = json.loads(variable)
    if not isinstance(asked, dict):
        raise ValueError(f"{PROBES_VARIABLE} is not an object")
    for container in containers:
        for holder, name, path in _places(container):
            probe, saved = holder.get(name), asked.get(path)
            if isinstance(probe, dict) and isinstance(saved, dict) and _is_ours(probe, path):
                holder[name] = _restored(probe, saved)


def _places(container: JsonObject) -> Iterable[tuple[JsonObject, str, str]]:
    """(holder, field, path) of every probe and hook that a container may have."""
    for name, path in _PROBES.items():
        yield container, name, path.format(container.get("name"))
    lifecycle = container.get("lifecycle")
    if isinstance(lifecycle, dict):
        for name, path in _HOOKS.items():
            yield lifecycle, name, path.format(container.get("name"))


def _turn(container: JsonObject, holder: JsonObject, name: str, path: str, result: RewrittenProbes) -> None:
    probe = cast("JsonObject", holder[name])
    # A hook's tcpSocket exists in the API and does nothing there.
    kinds = ("httpGet",) if name in _HOOKS else tuple(_KNOWN)
    kind = next((each for each in kinds if isinstance(probe.get(each), dict)), None)
    if kind is None:
        return
    action = cast("JsonObject", probe[kind])
    where = f"container {container.get('name')!r}: {name}"
    if action.get("host"):
        result.warnings.append(
            f"{where} has host {action['host']!r} and is left as it is: the kubelet asks there from the "
            "node, past the sidecar; remove the host to probe this pod"
        )
        return
    port = _port_number(container, action.get("port"))
    if port is None:
        result.warnings.append(
            f"{where} asks port {action.get('port')!r}, which is the name of none of the container's ports, "
            "and is left as it is: it will fail; name the port or give its number"
        )
        return
    if port in _OWN_PORTS:
        return
    result.asked[path] = _asked(kind, action, port, probe, name in _HOOKS)
    rest = {key: value for key, value in probe.items() if key != kind}
    holder[name] = {"httpGet": _ours(path), **rest}


def _asked(kind: str, action: JsonObject, port: int, probe: JsonObject, is_hook: bool) -> JsonObject:
    """What the sidecar is told: the action with its port as a number, and how long it may take."""
    told: JsonObject = {key: action[key] for key in _KNOWN[kind] if action.get(key) is not None}
    timeout = _HOOK_TIMEOUT if is_hook else probe.get("timeoutSeconds") or 1
    asked: JsonObject = {
        kind: {**told, "port": port},
        "timeoutSeconds": min(timeout, _MAX_TIMEOUT) if isinstance(timeout, int) else timeout,
    }
    return asked if action.get("port") == port else {**asked, "portName": action["port"]}


def _ours(path: str) -> JsonObject:
    return {"path": path, "port": STATUS_PORT}


def _is_ours(probe: JsonObject, path: str) -> bool:
    """Also when the API server has filled in the scheme."""
    action = probe.get("httpGet")
    return isinstance(action, dict) and {**action, **_ours(path)} == action


def _port_number(container: Mapping[str, object], port: object) -> int | None:
    """Looked up among the container's ports when it is a name, as the kubelet does."""
    if isinstance(port, int):
        return port
    if isinstance(port, str) and port.isascii() and port.isdecimal():
        return int(port)
    ports = container.get("ports")
    for declared in ports if isinstance(ports, list) else []:
        if isinstance(declared, dict) and port is not None and declared.get("name") == port:
            return cast("int | None", declared.get("containerPort"))
    return None


def _restored(probe: JsonObject, saved: JsonObject) -> JsonObject:
    kind = next(each for each in _KNOWN if each in saved)
    action = cast("JsonObject", saved[kind])
    original = {**action, "port": saved.get("portName", action["port"])}
    return {kind: original, **{key: value for key, value in probe.items() if key != "httpGet"}}
