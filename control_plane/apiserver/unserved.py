"""What a request is told that is about nothing this server has (pure)."""

from collections.abc import Mapping

from control_plane.apiserver.request_attributes import attributes_of

_INSTEAD = {
    "pods/attach": "`kubectl logs -f` follows a container's output, `kubectl exec -it` opens a shell in it",
    "pods/ephemeralcontainers": "`kubectl exec` runs any program of the machine in a container",
    "pods/portforward": "call the Pod from another one with `kubectl exec`, or through a Gateway",
}
"""Subresources of Kubernetes' that are absent by decision, and what to do in their place."""


def not_served(method: str, path: str, query: Mapping[str, str]) -> str:
    """Why there is nothing, in Kubernetes' words."""
    resource = attributes_of(method, path, query).full_resource
    if instead := _INSTEAD.get(resource):
        return f"{resource} is not served: {instead}"
    return f"the server could not find the requested resource ({method} {path})"
