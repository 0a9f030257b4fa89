"""Where the objects live and whose word on tokens counts: here, or in the API server of a cluster."""

import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from control_plane.apiserver.system_object import ensure_system_objects
from control_plane.client import ApiClient
from control_plane.cluster_tokens import ClusterTokens
from control_plane.kubeconfig import in_cluster, read_kubeconfig
from control_plane.options import IN_CLUSTER
from control_plane.store.cluster import ClusterStore
from control_plane.store.sqlite import SqliteStore
from control_plane.tokens import TokenAuthority


@dataclass(frozen=True, slots=True)
class OwnHome:
    """A store of our own, served as REST."""

    store: SqliteStore
    tokens: TokenAuthority


@dataclass(frozen=True, slots=True)
class ClusterHome:
    """The API server of a cluster; nothing is served as REST here."""

    store: ClusterStore
    tokens: ClusterTokens


async def open_own(directory: Path, stack: AsyncExitStack) -> OwnHome:
    """In `directory`; closed by `stack`. Raises DatabaseError, KeyStoreError."""
    store = await SqliteStore.open(directory / "state.db")
    stack.push_async_callback(store.close)
    await ensure_system_objects(store)
    return OwnHome(store, TokenAuthority.load(directory, store))


async def open_cluster(kubeconfig: str, stack: AsyncExitStack) -> ClusterHome:
    """`kubeconfig` is a path, or `in-cluster`. Raises KubeconfigError."""
    config = in_cluster(os.environ) if kubeconfig == IN_CLUSTER else read_kubeconfig(Path(kubeconfig))
    client = await stack.enter_async_context(ApiClient(config))
    store = ClusterStore(client)
    stack.callback(store.close)
    return ClusterHome(store, ClusterTokens(client))
