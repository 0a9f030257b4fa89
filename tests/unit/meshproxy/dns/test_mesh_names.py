"""What the mesh's own table answers, denies and leaves to others."""

from ipaddress import ip_address

import pytest

from meshproxy.config.name_table import NameAddresses, NameTable
from meshproxy.config.resolv_conf import nameservers
from meshproxy.dns import message as dns
from meshproxy.dns.mesh_names import MAX_ADDRESSES, TTL, absence, answer
from meshproxy.dns.message import Question
from meshproxy.dns.name import wire_of


def at(*addresses: str) -> NameAddresses:
    found = [ip_address(one) for one in addresses]
    return NameAddresses(
        tuple(one.packed for one in found if one.version == 4),
        tuple(one.packed for one in found if one.version == 6),
    )


TABLE = NameTable.of(
    {
        "catalog.shop.svc.cluster.local": at("10.96.0.20"),
        "dual.shop.svc.cluster.local": at("10.96.0.21", "fd00:96::21"),
        "db-0.db.shop.svc.cluster.local": at("10.244.0.3"),
        "db.shop.svc.cluster.local": at("10.244.0.3", "10.244.0.4"),
        "alias.shop.svc.cluster.local": at(),
        "crowd.shop.svc.cluster.local": NameAddresses(tuple(n.to_bytes(4, "big") for n in range(1200))),
        "api.example.com": at("240.240.0.1"),
        "*.example.org": at("240.240.0.2"),
    },
    "cluster.local",
)


def ask(name: str, kind: int = dns.A) -> Question:
    return Question(wire_of(name), kind)


def data(name: str, kind: int = dns.A) -> list[bytes] | None:
    found = answer(ask(name, kind), TABLE)
    return None if found is None else [one.data for one in found.records]


def test_services_hosts_outside_and_wildcards_are_answered_whatever_their_case() -> None:
    assert data("Catalog.SHOP.svc.cluster.local") == [bytes((10, 96, 0, 20))]
    assert data("db.shop.svc.cluster.local") == [bytes((10, 244, 0, 3)), bytes((10, 244, 0, 4))]
    assert data("db-0.db.shop.svc.cluster.local") == [bytes((10, 244, 0, 3))]
    assert data("api.example.com") == [bytes((240, 240, 0, 1))]
    assert data("deep.down.example.org") == [bytes((240, 240, 0, 2))]
    assert data("example.org") is None


def test_both_families() -> None:
    v6 = ip_address("fd00:96::21").packed
    assert data("dual.shop.svc.cluster.local", dns.AAAA) == [v6]
    assert data("dual.shop.svc.cluster.local", dns.ANY) == [bytes((10, 96, 0, 21)), v6]


def test_answers_are_kept_for_seconds_only_and_have_a_bound() -> None:
    found = answer(ask("crowd.shop.svc.cluster.local"), TABLE)
    assert found is not None
    assert (len(found.records), found.records[0].ttl, found.is_authoritative) == (MAX_ADDRESSES, TTL, True)


@pytest.mark.parametrize("kind", [dns.AAAA, dns.HTTPS, dns.SVCB])
def test_a_name_without_such_an_address_has_none_anywhere(kind: int) -> None:
    """Nor do hints lead past the virtual address."""
    for name, zone in (
        ("catalog.shop.svc.cluster.local", "cluster.local"),
        ("api.example.com", "api.example.com"),
    ):
        found = answer(ask(name, kind), TABLE)
        assert found is not None
        assert (found.rcode, found.records) == (dns.NOERROR, ())
        assert found.soa is not None
        assert (found.soa.name, found.soa.ttl) == (wire_of(zone), TTL)


def test_other_data_of_hosts_outside_is_asked_for_of_services_there_is_none() -> None:
    assert answer(ask("api.example.com", dns.MX), TABLE) is None
    found = answer(ask("catalog.shop.svc.cluster.local", dns.MX), TABLE)
    assert found is not None
    assert found.records == ()


@pytest.mark.parametrize(
    "name",
    [
        "api.stripe.com.shop.svc.cluster.local",
        "api.stripe.com.svc.cluster.local",
        "api.stripe.com.cluster.local",
        "no.shop.svc.cluster.local",
    ],
)
def test_names_of_the_cluster_that_are_not_in_the_table_do_not_exist(name: str) -> None:
    for kind in (dns.A, dns.AAAA):
        found = absence(ask(name, kind), TABLE)
        assert found is not None
        assert (found.rcode, found.soa is not None) == (dns.NXDOMAIN, True)


@pytest.mark.parametrize("name", ["cluster.local", "svc.cluster.local", "shop.svc.cluster.local"])
def test_what_is_above_a_service_exists(name: str) -> None:
    found = absence(ask(name), TABLE)
    assert found is not None
    assert found.rcode == dns.NOERROR


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("api.stripe.com", dns.A),
        ("10-244-0-3.shop.pod.cluster.local", dns.A),
        ("pod.cluster.local", dns.A),
        ("ns.dns.cluster.local", dns.A),
        ("dns-version.cluster.local", dns.A),
        ("_http._tcp.catalog.shop.svc.cluster.local", dns.A),
        ("no.shop.svc.cluster.local", dns.SRV),
        ("alias.shop.svc.cluster.local", dns.A),
        ("badcluster.local", dns.A),
    ],
)
def test_what_the_table_cannot_tell_is_left_to_others(name: str, kind: int) -> None:
    assert answer(ask(name, kind), TABLE) is None
    assert absence(ask(name, kind), TABLE) is None


def test_names_that_no_host_has_are_left_to_others() -> None:
    odd = Question(b"\x03a.b\x05local\x00", dns.A)
    assert (answer(odd, TABLE), absence(odd, TABLE)) == (None, None)


def test_an_empty_table_knows_nothing() -> None:
    for name in ("catalog.shop.svc.cluster.local", "cluster.local", ""):
        assert answer(ask(name), NameTable()) is None
        assert absence(ask(name), NameTable()) is None


def test_the_servers_of_a_resolv_conf() -> None:
    text = (
        "# x\nnameserver 10.96.0.10\nsearch a b\nnameserver\nnameserver fe80::1%eth0\nnameserver 10.96.0.10"
    )
    assert nameservers(text) == ("10.96.0.10", "fe80::1%eth0")
    assert nameservers(
        "nameserver 1.1.1.1\n" * 2 + "nameserver here\nnameserver 2.2.2.2\nnameserver 3.3.3.3"
    ) == (
        "1.1.1.1",
        "2.2.2.2",
    )
