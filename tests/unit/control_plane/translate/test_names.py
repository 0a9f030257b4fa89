"""Names on the wire."""

from control_plane.discovery.model import ObjectName
from control_plane.translate import names

CATALOG = ObjectName("shop", "catalog")


def test_names_are_those_that_tools_for_istio_know() -> None:
    assert names.fqdn(CATALOG) == "catalog.shop.svc.cluster.local"
    assert names.outbound_cluster(CATALOG, 8080) == "outbound|8080||catalog.shop.svc.cluster.local"
    assert names.opaque_cluster(CATALOG, 8080) == "outbound|8080|opaque|catalog.shop.svc.cluster.local"
    assert names.inbound_cluster(8080) == "inbound|8080||"
    assert names.sni(CATALOG, 8080) == "outbound_.8080_._.catalog.shop.svc.cluster.local"
    assert names.wildcard_listener(8080) == "0.0.0.0_8080"
    assert names.service_listener("10.96.0.7", 3306) == "10.96.0.7_3306"
    assert names.route_table(8080) == "8080"
    assert names.missing_backend(CATALOG, 1) == "missing|1||catalog.shop.svc.cluster.local"
    assert names.missing_backend(CATALOG, None) == "missing|||catalog.shop.svc.cluster.local"


def test_domains_are_every_way_to_call_a_service_each_with_its_port() -> None:
    assert names.domains(CATALOG, ["10.96.0.7"], 80, same_namespace=True) == (
        "catalog",
        "catalog:80",
        "catalog.shop",
        "catalog.shop:80",
        "catalog.shop.svc",
        "catalog.shop.svc:80",
        "catalog.shop.svc.cluster.local",
        "catalog.shop.svc.cluster.local:80",
        "10.96.0.7",
        "10.96.0.7:80",
    )


def test_the_short_name_is_for_the_same_namespace_and_ipv6_is_bracketed() -> None:
    found = names.domains(CATALOG, ["fd00::7"], 80, same_namespace=False)
    assert "catalog" not in found
    assert found[-2:] == ("[fd00::7]", "[fd00::7]:80")
    assert len(names.domains(CATALOG, [], 80, same_namespace=False)) == 6


def test_a_service_of_two_families_is_called_by_each_of_its_addresses() -> None:
    found = names.domains(CATALOG, ["10.96.0.7", "fd00::7"], 80, same_namespace=False)
    assert found[-4:] == ("10.96.0.7", "10.96.0.7:80", "[fd00::7]", "[fd00::7]:80")
