"""What the interception rules are made from (pure), and how its flags are read.

The words and defaults are Istio's, because the pod annotations that end up here are: `*` selects
everything, an empty list nothing; exclusions are stronger than inclusions.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from meshproxy.errors import ConfigError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

DNS_PORT = 53
OWN_INBOUND_PORTS = (15020, 15021, 15090)
"""Never redirected inbound: merged metrics, readiness, Prometheus, which the sidecar serves as plaintext."""
_MAX_ID = 2**32 - 2  # 2**32 - 1 means "no change" to the kernel


@dataclass(frozen=True, slots=True)
class InterceptionSettings:
    """One pod's interception. None stands for `*` where it is allowed."""

    inbound_port: int = 15006
    """Where connections to the pod are redirected to."""
    outbound_port: int = 15001
    """Where connections of the app are redirected to."""
    proxy_uid: int = 1337
    """Connections of this user are the sidecar's own, so not redirected; an app with this uid bypasses the
    mesh."""
    proxy_gid: int = 1337
    """The same for a group."""
    include_inbound_ports: tuple[int, ...] | None = None
    exclude_inbound_ports: tuple[int, ...] = ()
    """Besides `OWN_INBOUND_PORTS`."""
    include_outbound_ports: tuple[int, ...] = ()
    """Redirected whatever their address is: of use when `include_outbound_ranges` is not everything."""
    exclude_outbound_ports: tuple[int, ...] = ()
    include_outbound_ranges: tuple[Network, ...] | None = None
    exclude_outbound_ranges: tuple[Network, ...] = ()
    dns_port: int = 15053
    """Where the app's DNS queries are redirected to."""
    dns_servers: tuple[Address, ...] = ()
    """Servers queries to which are redirected: those of the pod's resolv.conf; none: DNS is not captured.
    Queries to others go where they are sent: a DNS server that runs in a pod asks the whole world."""
    drop_invalid: bool = True
    """Drop TCP packets that conntrack cannot place. Their addresses are not translated back, so the kernel
    would answer them with a reset that ends a healthy connection."""

    @property
    def captures_dns(self) -> bool:
        """Not where the app is to reach port 53 directly."""
        return bool(self.dns_servers) and DNS_PORT not in self.exclude_outbound_ports

    def __post_init__(self) -> None:
        _require(0 < self.inbound_port < 65536, "inbound port", self.inbound_port, "use 1-65535")
        _require(0 < self.outbound_port < 65536, "outbound port", self.outbound_port, "use 1-65535")
        _require(0 < self.dns_port < 65536, "DNS port", self.dns_port, "use 1-65535")
        distinct = self.inbound_port != self.outbound_port
        _require(
            distinct, "inbound port", self.inbound_port, "it is the outbound port too; give each its own"
        )
        for name, value in (("proxy uid", self.proxy_uid), ("proxy gid", self.proxy_gid)):
            # Root's connections would all bypass the mesh, and so would those of many apps.
            _require(
                0 < value <= _MAX_ID, name, value, "use the number of an unprivileged user that runs no app"
            )


def _require(condition: bool, name: str, value: object, mend: str) -> None:
    if not condition:
        raise ConfigError(f"{name} {value!r}: {mend}")


def parse_ports(text: str, source: str) -> tuple[int, ...]:
    """`"80,8080"` sorted and without repetition; empty is no port. `source` names the flag in errors."""
    return tuple(sorted({_port(item, source) for item in _items(text)}))


def parse_ports_or_all(text: str, source: str) -> tuple[int, ...] | None:
    """As `parse_ports`; `*` is None: every port."""
    return None if text.strip() == "*" else parse_ports(text, source)


def parse_ranges(text: str, source: str) -> tuple[Network, ...]:
    """`"10.0.0.0/8,2001:db8::/32"`, order kept, without repetition; an address alone is a range of one."""
    return tuple(dict.fromkeys(_range(item, source) for item in _items(text)))


def parse_ranges_or_all(text: str, source: str) -> tuple[Network, ...] | None:
    """As `parse_ranges`; `*` is None: every address."""
    return None if text.strip() == "*" else parse_ranges(text, source)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _port(item: str, source: str) -> int:
    if not (item.isascii() and item.isdecimal() and 0 < int(item) < 65536):
        raise ConfigError(f"{source}: {item!r} is not a port; use numbers 1-65535 separated by commas")
    return int(item)


def _range(item: str, source: str) -> Network:
    try:
        return ip_network(item)
    except ValueError as error:
        raise ConfigError(
            f"{source}: {item!r} is not an address range ({error}); use e.g. 10.0.0.0/8"
        ) from error
