"""A pod's resolv.conf from its dnsPolicy and dnsConfig, as a kubelet writes it (pure).

The rules, and the limits of what fits, are those of Kubernetes' `pkg/kubelet/network/dns`: what dnsConfig
says is added to what the policy gives, an option of dnsConfig replaces the policy's option of that name, and
what is beyond the limits of resolvers is left out and told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CLUSTER_DOMAIN = "cluster.local"
MAX_NAMESERVERS = 3
"""resolv.conf(5): MAXNS. Further ones are not even read by glibc."""
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
"""Kubernetes' limits since 1.28; older resolvers read 6 domains of 256 characters."""
_CLUSTER_OPTIONS = (("ndots", "5"),)


class DnsPolicyError(ValueError):
    """A dnsPolicy that does not exist."""


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """Contents of a resolv.conf: a node's own, or what a pod's `dnsConfig` adds."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[tuple[str, str | None], ...] = ()
    """(name, value or None), in order."""

    @property
    def text(self) -> str:
        """The file."""
        lines = [f"nameserver {address}" for address in self.nameservers]
        if self.searches:
            lines.append(f"search {' '.join(self.searches)}")
        if self.options:
            words = (name if value is None else f"{name}:{value}" for name, value in self.options)
            lines.append(f"options {' '.join(words)}")
        return "".join(f"{line}\n" for line in lines)


NO_SETTINGS = ResolverSettings()


@dataclass(frozen=True, slots=True)
class PodResolver:
    """A pod's resolv.conf, and what it leaves out."""

    settings: ResolverSettings
    omitted: tuple[str, ...] = ()
    """In words; Kubernetes tells them as an Event of reason `DNSConfigForming`."""

    @property
    def text(self) -> str:
        """The file."""
        return self.settings.text


def pod_resolver(
    namespace: str,
    cluster_servers: Iterable[object],
    *,
    domain: str = CLUSTER_DOMAIN,
    policy: str = "ClusterFirst",
    config: ResolverSettings | None = None,
    node: ResolverSettings = NO_SETTINGS,
    host_network: bool = False,
) -> PodResolver:
    """What a pod's resolver is told.

    `cluster_servers`: addresses of the cluster's DNS. `config`: the pod's `dnsConfig`. `node`: the node's own
    resolv.conf, which policy `Default` takes, and whose search domains `ClusterFirst` appends. Raises
    DnsPolicyError.
    """
    base = _of_policy(_effective(policy, host_network), namespace, cluster_servers, domain, node)
    return _within_limits(_merged(base, config) if config is not None else base)


def resolv_conf(
    namespace: str,
    server: object,
    domain: str = CLUSTER_DOMAIN,
    *,
    policy: str = "ClusterFirst",
    config: ResolverSettings | None = None,
    node: ResolverSettings = NO_SETTINGS,
    host_network: bool = False,
) -> str:
    """Only the text of `pod_resolver`, with one cluster DNS at `server`."""
    return pod_resolver(
        namespace,
        (server,),
        domain=domain,
        policy=policy,
        config=config,
        node=node,
        host_network=host_network,
    ).text


def parse_resolv_conf(text: str) -> ResolverSettings:
    """A resolv.conf(5) as resolvers read it: the last `search` or `domain` wins, the rest is skipped."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: dict[str, str | None] = {}
    for line in text.splitlines():
        keyword, *words = line.split("#")[0].split(";")[0].split() or [""]
        if keyword == "nameserver" and words:
            servers.append(words[0])
        elif keyword in ("search", "domain"):
            searches = tuple(word.removesuffix(".") or "." for word in words)
        elif keyword == "options":
            options.update(_option(word) for word in words)
    return ResolverSettings(tuple(servers), searches, tuple(options.items()))


def _option(word: str) -> tuple[str, str | None]:
    name, colon, value = word.partition(":")
    return name, value if colon else None


def _effective(policy: str, host_network: bool) -> str:
    if policy == "ClusterFirstWithHostNet":
        return "ClusterFirst"
    return "Default" if policy == "ClusterFirst" and host_network else policy


def _of_policy(
    policy: str, namespace: str, servers: Iterable[object], domain: str, node: ResolverSettings
) -> ResolverSettings:
    match policy:
        case "ClusterFirst":
            own = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
            return ResolverSettings(
                _distinct(map(str, servers)), _distinct((*own, *node.searches)), _CLUSTER_OPTIONS
            )
        case "Default":
            return node
        case "None":
            return ResolverSettings()
    raise DnsPolicyError(
        f"dnsPolicy {policy!r}: use ClusterFirst, ClusterFirstWithHostNet, Default or None (with dnsConfig)"
    )


def _merged(base: ResolverSettings, config: ResolverSettings) -> ResolverSettings:
    options: Mapping[str, str | None] = {**dict(base.options), **dict(config.options)}
    return ResolverSettings(
        _distinct((*base.nameservers, *config.nameservers)),
        _distinct((*base.searches, *config.searches)),
        tuple(options.items()),
    )


def _within_limits(settings: ResolverSettings) -> PodResolver:
    servers, searches = settings.nameservers[:MAX_NAMESERVERS], settings.searches[:MAX_SEARCHES]
    while len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        searches = searches[:-1]
    omitted = []
    if servers != settings.nameservers:
        applied = " ".join(servers)
        omitted.append(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line"
            f" is: {applied}"
        )
    if searches != settings.searches:
        applied = " ".join(searches)
        omitted.append(
            f"Search Line limits were exceeded, some search paths have been omitted, the applied search line"
            f" is: {applied}"
        )
    return PodResolver(ResolverSettings(servers, searches, settings.options), tuple(omitted))


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
