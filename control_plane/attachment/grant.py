"""Whether a reference across namespaces is permitted by a ReferenceGrant (pure; GEP-709)."""

from collections.abc import Iterable

from control_plane.discovery.route import ObjectRef, ReferenceGrant


def is_granted(
    grants: Iterable[ReferenceGrant], *, group: str, kind: str, namespace: str, target: ObjectRef
) -> bool:
    """Whether an object of `group` and `kind` in `namespace` may refer to `target`.

    `grants` are those of the target's namespace; others say nothing. Within one namespace none is needed.
    """
    if namespace == target.key.namespace:
        return True
    return any(
        grant.key.namespace == target.key.namespace
        and any((one.group, one.kind, one.namespace) == (group, kind, namespace) for one in grant.sources)
        and any(
            (one.group, one.kind) == (target.group, target.kind) and one.name in ("", target.key.name)
            for one in grant.targets
        )
        for grant in grants
    )
