"""How lists of Kubernetes' own kinds are merged (pure): what its OpenAPI tells clients in extensions.

From the `patchStrategy`, `patchMergeKey`, `listType` and `listMapKey` tags of Kubernetes' Go types. A list
that is not here is replaced as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.resources.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ListStrategy:
    """How one list is merged by a strategic merge patch, and who owns what of it by server-side apply."""

    merge_key: str = ""
    """Empty for a list of plain values, which is merged as a set, and for an object that is patched whole."""
    map_keys: tuple[str, ...] = ()
    """Of server-side apply, where they are more than the merge key."""
    patch: str = "merge"
    list_type: str = "map"

    def extensions(self) -> Manifest:
        """The fields of the OpenAPI schema."""
        result: Manifest = {"x-kubernetes-patch-strategy": self.patch}
        if self.merge_key:
            result["x-kubernetes-patch-merge-key"] = self.merge_key
        if self.list_type:
            result["x-kubernetes-list-type"] = self.list_type
        if self.list_type == "map":
            result["x-kubernetes-list-map-keys"] = list(self.map_keys or (self.merge_key,))
        return result


_NAMED = ListStrategy("name")
_TYPED = ListStrategy("type")
_SET = ListStrategy(list_type="set")
_RETAIN_KEYS = ListStrategy("name", patch="merge,retainKeys")
_WHOLE = ListStrategy(patch="retainKeys", list_type="")

STRATEGIES: Mapping[tuple[str, str], ListStrategy] = {
    ("ObjectMeta", "ownerReferences"): ListStrategy("uid"),
    ("ObjectMeta", "finalizers"): _SET,
    ("PodSpec", "containers"): _NAMED,
    ("PodSpec", "initContainers"): _NAMED,
    ("PodSpec", "ephemeralContainers"): _NAMED,
    ("PodSpec", "volumes"): _RETAIN_KEYS,
    ("PodSpec", "resourceClaims"): _RETAIN_KEYS,
    ("PodSpec", "imagePullSecrets"): _NAMED,
    ("PodSpec", "schedulingGates"): _NAMED,
    ("PodSpec", "hostAliases"): ListStrategy("ip"),
    ("PodSpec", "topologySpreadConstraints"): ListStrategy(
        "topologyKey", ("topologyKey", "whenUnsatisfiable")
    ),
    ("Container", "ports"): ListStrategy("containerPort", ("containerPort", "protocol")),
    ("Container", "env"): _NAMED,
    ("Container", "volumeMounts"): ListStrategy("mountPath"),
    ("Container", "volumeDevices"): ListStrategy("devicePath"),
    ("PodStatus", "conditions"): _TYPED,
    ("PodStatus", "podIPs"): ListStrategy("ip"),
    ("PodStatus", "hostIPs"): ListStrategy("ip", list_type="atomic"),
    ("ServiceSpec", "ports"): ListStrategy("port", ("port", "protocol")),
    ("ServiceStatus", "conditions"): _TYPED,
    ("ServiceAccount", "secrets"): _NAMED,
    ("NodeSpec", "podCIDRs"): _SET,
    ("NodeStatus", "addresses"): _TYPED,
    ("NodeStatus", "conditions"): _TYPED,
    ("NamespaceStatus", "conditions"): _TYPED,
    ("DeploymentSpec", "strategy"): _WHOLE,
    ("DeploymentStatus", "conditions"): _TYPED,
    ("ReplicaSetStatus", "conditions"): _TYPED,
    ("JobStatus", "conditions"): ListStrategy("type", list_type="atomic"),
    ("MutatingWebhookConfiguration", "webhooks"): _NAMED,
    ("ValidatingWebhookConfiguration", "webhooks"): _NAMED,
}
"""By model and field (as it travels)."""


def extensions(model: str, field: str) -> Manifest:
    """What the schema of a field says about merging; empty for what is replaced."""
    strategy = STRATEGIES.get((model, field))
    return strategy.extensions() if strategy else {}
