"""A new version of a route table: only what changed in it is made again, and nothing bad gets in with it."""

import pytest

from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from meshproxy.errors import ConfigError
from meshproxy.steps import finished
from meshproxy.xds.route_table import MadeTable, making_table
from tests.unit.meshproxy.xds import xds_message as message

NAMES = [f"service-{number}" for number in range(50)]


def made(config: RouteConfiguration, before: MadeTable | None = None) -> MadeTable:
    return finished(making_table(config, "rds '80'", before))


def test_virtual_hosts_with_the_same_bytes_keep_their_objects_wherever_they_stand() -> None:
    before = made(message.routes("80", *NAMES))
    changed = message.routes("80", "new", *reversed(NAMES))
    changed.virtual_hosts[1].routes[0].route.timeout.seconds = 3
    after = made(changed, before)
    kept = dict(zip(NAMES, before.table.virtual_hosts, strict=True))
    for host in after.table.virtual_hosts:
        assert (host is kept.get(host.name)) == (host.name not in ("new", NAMES[-1]))
    for name in NAMES:
        is_same = after.compiled.virtual_host(name) is before.compiled.virtual_host(name)
        assert is_same == (name != NAMES[-1])
    assert after.table == made(changed).table


def test_what_went_is_forgotten() -> None:
    before = made(message.routes("80", *NAMES))
    after = made(message.routes("80", NAMES[0]), before)
    assert len(after.hosts) == 1
    assert after.compiled.virtual_host(NAMES[1]) is None


def test_what_is_said_of_the_whole_table_compiles_all_of_it_anew() -> None:
    config = message.routes("80", "a")
    before = made(config)
    config.ignore_port_in_host_matching = True
    after = made(config, before)
    assert after.table.virtual_hosts[0] is before.table.virtual_hosts[0]
    assert after.compiled.virtual_host("a:8080") is not None
    assert after.compiled.virtual_host("a") is not before.compiled.virtual_host("a")


@pytest.mark.parametrize("has_before", [False, True])
def test_a_bad_virtual_host_among_known_ones_is_refused_by_its_place(has_before: bool) -> None:
    before = made(message.routes("80", *NAMES)) if has_before else None
    bad = message.routes("80", *NAMES)
    bad.virtual_hosts[7].domains.append(NAMES[0])
    with pytest.raises(ConfigError, match="'service-7': domain 'service-0' is already taken"):
        made(bad, before)
    bad = message.routes("80", *NAMES)
    bad.virtual_hosts[7].ClearField("domains")
    with pytest.raises(ConfigError, match=r"rds '80'\.virtual_hosts\[7\]\.domains"):
        made(bad, before)
    bad = message.routes("80", *NAMES)
    bad.virtual_hosts[7].MergeFromString(b"\xf8\x7f\x01")  # field 2047
    with pytest.raises(ConfigError, match=r"rds '80'\.virtual_hosts\[7\]: field number 2047"):
        made(bad, before)
    bad = message.routes("80", *NAMES)
    bad.MergeFromString(b"\xf8\x7f\x01")
    with pytest.raises(ConfigError, match="rds '80': field number 2047"):
        made(bad, before)


def test_it_pauses_at_each_virtual_host() -> None:
    assert sum(1 for _ in making_table(message.routes("80", *NAMES), "x", None)) >= 2 * len(NAMES)
