"""Interception settings and how lists of ports and ranges are read."""

from ipaddress import ip_network

import pytest

from meshproxy.errors import ConfigError
from meshproxy.interception.settings import (
    InterceptionSettings,
    parse_ports,
    parse_ports_or_all,
    parse_ranges,
    parse_ranges_or_all,
)


@pytest.mark.parametrize(
    ("text", "ports"),
    [("", ()), (" ", ()), ("80", (80,)), ("8080, 80,80", (80, 8080)), ("1,65535", (1, 65535))],
)
def test_ports_are_sorted_and_listed_once(text: str, ports: tuple[int, ...]) -> None:
    assert parse_ports(text, "--ports") == ports


@pytest.mark.parametrize("text", ["0", "65536", "x", "80,", "-1", "80 81", "*", "٣", "80-90"])
def test_a_wrong_port_is_named_with_its_source_and_the_mend(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--ports: '.*' is not a port; use numbers 1-65535"):
        parse_ports(text, "--ports")


def test_an_asterisk_is_every_port_and_every_address() -> None:
    assert parse_ports_or_all(" * ", "--ports") is None
    assert parse_ports_or_all("80", "--ports") == (80,)
    assert parse_ranges_or_all("*", "--ranges") is None
    assert parse_ranges_or_all("", "--ranges") == ()


def test_ranges_of_both_families_keep_their_order() -> None:
    expected = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("1.2.3.4/32"))
    assert parse_ranges("10.0.0.0/8, 2001:db8::/32,1.2.3.4,10.0.0.0/8", "--ranges") == expected


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0.0.0/8,"])
def test_a_wrong_range_is_named_with_its_source_and_the_mend(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--ranges: '.*' is not an address range .*use e\.g\."):
        parse_ranges(text, "--ranges")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inbound_port": 0}, "inbound port 0: use 1-65535"),
        ({"inbound_port": 65536}, "inbound port 65536: use 1-65535"),
        ({"outbound_port": -1}, "outbound port -1: use 1-65535"),
        ({"outbound_port": 15006}, "inbound port 15006: it is the outbound port too"),
        ({"proxy_uid": 0}, "proxy uid 0: use the number of an unprivileged user"),
        ({"proxy_gid": 2**32 - 1}, "proxy gid 4294967295: use the number of an unprivileged user"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        InterceptionSettings(**wrong)  # type: ignore[arg-type]
