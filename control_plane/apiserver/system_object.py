"""Objects that always exist: the system's namespaces and each namespace's default ServiceAccount."""

from control_plane.resources.manifest import Manifest, name_of
from control_plane.store.api import NamespaceTerminating, ObjectExists, ObjectNotFound, Store

SYSTEM_NAMESPACES = ("default", "kube-system", "meshproxy-system")
DEFAULT_SERVICE_ACCOUNT = "default"


def _namespace(name: str) -> Manifest:
    labels = {"kubernetes.io/metadata.name": name}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
        "status": {"phase": "Active"},
    }


async def ensure_system_objects(store: Store) -> None:
    """Make what is missing; call it once before serving. Also completes a Namespace a crash cut short."""
    for name in SYSTEM_NAMESPACES:
        try:
            await store.create(_namespace(name))
        except ObjectExists:
            pass
    for namespace in (await store.list("Namespace")).items:
        await ensure_default_service_account(store, name_of(namespace))


async def ensure_default_service_account(store: Store, namespace: str) -> None:
    """Make the ServiceAccount of pods that name none."""
    metadata = {"name": DEFAULT_SERVICE_ACCOUNT, "namespace": namespace}
    try:
        await store.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    except (ObjectExists, ObjectNotFound, NamespaceTerminating):
        pass  # there already, or the Namespace is being deleted, or was
