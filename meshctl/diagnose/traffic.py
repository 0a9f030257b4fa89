"""Which clusters a sidecar sends requests for a host to, from its own configuration (pure)."""

from collections.abc import Iterator

from meshctl.diagnose.facts import SidecarFacts
from meshctl.json_value import JsonObject, member, objects, text, texts


def destinations(sidecar: SidecarFacts, host: str, port: int) -> tuple[str, ...]:
    """Of every route of the host's virtual host, those of weight 0 left out; without routes, its own
    clusters."""
    routed = tuple(dict.fromkeys(_routed(sidecar, host, port)))
    if routed:
        return routed
    own = (f"outbound|{port}||{host}", f"outbound|{port}|opaque|{host}")
    known = {text(cluster, "name") for cluster in sidecar.clusters}
    return tuple(name for name in own if name in known)


def _routed(sidecar: SidecarFacts, host: str, port: int) -> Iterator[str]:
    for virtual_host in _virtual_hosts(sidecar, host, port):
        for route in objects(virtual_host.get("routes")):
            action = member(route, "route")
            if single := text(action, "cluster"):
                yield single
            for entry in objects(member(action, "weighted_clusters", "clusters")):
                if member(entry, "weight"):
                    yield text(entry, "name")


def _virtual_hosts(sidecar: SidecarFacts, host: str, port: int) -> Iterator[JsonObject]:
    tables = member(sidecar.config, "rds", "resources")
    for table in tables.values() if isinstance(tables, dict) else ():
        for virtual_host in objects(member(table, "virtual_hosts")):
            if f"{host}:{port}" in texts(virtual_host, "domains"):
                yield virtual_host
