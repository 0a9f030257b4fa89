"""The DNS names of our own webhooks (pure): an API server verifies them, so certificates must carry them."""

from collections.abc import Iterable, Mapping
from typing import Final

from certs.spiffe_id import SpiffeId, TrustDomain

_NAMESPACE: Final = "meshproxy-system"
INJECTOR: Final = "injector"
"""ServiceAccount and Service of the injector."""


def webhook_names(trust_domain: TrustDomain, extra: Iterable[str] = ()) -> Mapping[SpiffeId, frozenset[str]]:
    """Which identity may be called what. `extra`: by what an API server calls the injector that does not
    reach its Service."""
    service = f"{INJECTOR}.{_NAMESPACE}.svc"
    identity = SpiffeId.for_workload(trust_domain, _NAMESPACE, INJECTOR)
    return {identity: frozenset({service, f"{service}.cluster.local", *extra})}
