"""Clusters whose endpoints are names."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from meshproxy.config.dns import DnsSettings, LookupFamily
from meshproxy.config.model import Cluster, ClusterType
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.strict import check
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[Proto], None]


def translated(
    kind: Proto.DiscoveryType, host: str = "api.example.com", change: Change = lambda made: None
) -> Cluster:
    made = Proto(name="dns", type=kind, load_assignment=message.endpoints())
    made.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address = host
    change(made)
    check(made, "c")
    return translate_cluster(made, "c")


@pytest.mark.parametrize("host", ["api.example.com", "localhost", "a_b.example.com.", "10.0.0.1", "fd00::1"])
def test_names_and_addresses(host: str) -> None:
    made = translated(Proto.STRICT_DNS, host)
    assert (made.type, made.dns) == (ClusterType.DNS, DnsSettings())
    assert [endpoint.address for endpoint in made.endpoints] == [host]


def test_settings() -> None:
    def change(made: Proto) -> None:
        made.dns_refresh_rate.seconds = 60
        made.dns_lookup_family = Proto.V4_PREFERRED
        made.respect_dns_ttl = True

    made = translated(Proto.LOGICAL_DNS, change=change)
    assert made.dns == DnsSettings(60.0, LookupFamily.V4_PREFERRED, is_logical=True)


def _two(made: Proto) -> None:
    made.load_assignment.endpoints.append(message.endpoints().endpoints[0])


def _no_time(made: Proto) -> None:
    made.dns_refresh_rate.SetInParent()


@pytest.mark.parametrize(
    ("kind", "host", "change", "message"),
    [
        (Proto.STRICT_DNS, "a b", lambda made: None, ".address: 'a b' is not an IP address"),
        (Proto.STRICT_DNS, "-a.example", lambda made: None, ".address: '-a.example' is not an IP address"),
        (Proto.STRICT_DNS, "a..b", lambda made: None, ".address: 'a..b' is not an IP address"),
        (Proto.STRICT_DNS, "a." * 130 + "b", lambda made: None, "is not an IP address"),
        (Proto.STATIC, "localhost", lambda made: None, ".address: 'localhost' is not an IP address"),
        (Proto.LOGICAL_DNS, "a", _two, "c.load_assignment: LOGICAL_DNS needs exactly one endpoint"),
        (Proto.STRICT_DNS, "a", _no_time, "c.dns_refresh_rate: dns_refresh_rate 0.0 s: must be at least"),
    ],
)
def test_refused(kind: Proto.DiscoveryType, host: str, change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(kind, host, change)
    assert message in str(refused.value)
