"""What a pod's resolver is told, policy by policy."""

import pytest

from lab.resolv_conf import (
    DnsPolicyError,
    PodResolver,
    ResolverSettings,
    parse_resolv_conf,
    pod_resolver,
    resolv_conf,
)

NODE = ResolverSettings(("192.0.2.53",), ("lan",), (("edns0", None),))
CLUSTER = """nameserver 10.96.0.10
search shop.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
"""


def of(policy: str, config: ResolverSettings | None = None, *, host_network: bool = False) -> PodResolver:
    return pod_resolver(
        "shop", ("10.96.0.10",), policy=policy, config=config, node=NODE, host_network=host_network
    )


def test_a_pods_names_are_looked_for_in_its_namespace_first() -> None:
    assert resolv_conf("shop", "10.96.0.10") == CLUSTER


def test_cluster_first_appends_the_nodes_search_domains() -> None:
    assert of("ClusterFirst").settings.searches[-1] == "lan"


def test_policy_default_is_the_nodes_own_file() -> None:
    assert of("Default").text == "nameserver 192.0.2.53\nsearch lan\noptions edns0\n"


def test_on_the_hosts_network_only_the_policy_for_it_asks_the_cluster() -> None:
    assert of("ClusterFirst", host_network=True) == of("Default")
    assert of("ClusterFirstWithHostNet", host_network=True) == of("ClusterFirst")


def test_policy_none_is_what_the_pod_says() -> None:
    config = ResolverSettings(("192.0.2.1",), ("example.com",), (("ndots", "2"), ("rotate", None)))
    text = "nameserver 192.0.2.1\nsearch example.com\noptions ndots:2 rotate\n"
    assert of("None", config).text == text
    assert of("None").text == ""


def test_dns_config_is_added_and_its_options_win() -> None:
    config = ResolverSettings(("10.96.0.10", "192.0.2.1"), ("example.com", "lan"), (("ndots", "2"),))
    assert of("ClusterFirst", config).settings == ResolverSettings(
        ("10.96.0.10", "192.0.2.1"),
        ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan", "example.com"),
        (("ndots", "2"),),
    )


def test_what_is_beyond_the_resolvers_limits_is_left_out_and_told() -> None:
    many = ResolverSettings(
        tuple(f"192.0.2.{n}" for n in range(4)), tuple(f"d{n}.example" for n in range(40))
    )
    found = of("None", many)
    assert (len(found.settings.nameservers), len(found.settings.searches)) == (3, 32)
    assert [text.split()[0] for text in found.omitted] == ["Nameserver", "Search"]


def test_a_search_line_has_a_length_too() -> None:
    long = ResolverSettings(("192.0.2.1",), tuple(f"{n}{'a' * 70}.example" for n in range(10, 42)))
    found = of("None", long)
    assert len(found.settings.searches) == 25
    assert "search paths" in found.omitted[0]


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(DnsPolicyError, match="'ClusterLast'"):
        of("ClusterLast")


def test_a_nodes_file_is_read_as_resolvers_read_it() -> None:
    text = """# by hand
nameserver 192.0.2.53 ; first
nameserver 2001:db8::53
domain example.com
search lan. office
options edns0 ndots:2
nameserver
sortlist 10.0.0.0
"""
    assert parse_resolv_conf(text) == ResolverSettings(
        ("192.0.2.53", "2001:db8::53"), ("lan", "office"), (("edns0", None), ("ndots", "2"))
    )
    assert parse_resolv_conf(NODE.text) == NODE
