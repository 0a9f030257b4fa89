"""The cluster's zone as Kubernetes' DNS specification 1.1 lists its records."""

from dnslib import QTYPE, RCODE, DNSRecord

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.service import Service
from lab.dns import answer
from lab.dns_zone import cluster_zone


def service(name: str, **spec: object) -> Service:
    metadata = {"name": name, "namespace": "shop"}
    return Service.parse({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})


def endpoint(address: str, *, ready: bool = True, **fields: object) -> dict[str, object]:
    return {"addresses": [address], "conditions": {"ready": ready}, **fields}


def slice_of(name: str, *endpoints: dict[str, object], family: str = "IPv4") -> EndpointSlice:
    return EndpointSlice.parse(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{name}-{family.lower()}",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": family,
            "endpoints": list(endpoints),
            "ports": [{"name": "sql", "port": 3306}],
        }
    )


TABLE = cluster_zone(
    [
        service(
            "catalog",
            clusterIP="10.96.0.20",
            ports=[{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        ),
        service("pending", ports=[{"port": 80}]),
        service("db", clusterIP="None", selector={"app": "db"}, ports=[{"name": "sql", "port": 3306}]),
        service("empty", clusterIP="None", ports=[{"port": 80}]),
        service("alias", type="ExternalName", externalName="catalog.shop.svc.cluster.local"),
    ],
    [
        slice_of(
            "db",
            endpoint("10.244.0.4", hostname="db-1"),
            endpoint("10.244.0.3", hostname="db-0"),
            endpoint("10.244.0.5"),
            endpoint("10.244.0.6", ready=False, hostname="db-2"),
        ),
        slice_of("db", endpoint("fd00:10:244::3", hostname="db-0"), family="IPv6"),
    ],
)
SHOP = "shop.svc.cluster.local"


def ask(name: str, kind: str = "A") -> DNSRecord:
    return DNSRecord.parse(answer(DNSRecord.question(name, kind).pack(), TABLE, over_udp=False))


def found(name: str, kind: str = "A") -> list[str]:
    return [str(record.rdata) for record in ask(name, kind).rr]


def test_services_and_the_pods_of_headless_ones_have_addresses_of_both_families() -> None:
    assert found(f"catalog.{SHOP}") == ["10.96.0.20"]
    assert found(f"db.{SHOP}") == ["10.244.0.3", "10.244.0.4", "10.244.0.5"]
    assert found(f"db.{SHOP}", "AAAA") == ["fd00:10:244::3"]
    assert found(f"db-0.db.{SHOP}") == ["10.244.0.3"]
    assert found(f"db-0.db.{SHOP}", "AAAA") == ["fd00:10:244::3"]


def test_a_pod_without_a_host_name_is_called_by_its_address() -> None:
    assert found(f"10-244-0-5.db.{SHOP}") == ["10.244.0.5"]


def test_what_is_not_ready_is_not_published() -> None:
    assert ask(f"db-2.db.{SHOP}").header.rcode == RCODE.NXDOMAIN


def test_services_without_an_address_exist() -> None:
    for name in ("pending", "empty"):
        reply = ask(f"{name}.{SHOP}")
        assert (reply.header.rcode, reply.rr) == (RCODE.NOERROR, [])


def test_named_ports_have_srv_records_with_the_addresses_along() -> None:
    assert found(f"_http._tcp.catalog.{SHOP}", "SRV") == [f"0 100 80 catalog.{SHOP}."]
    assert found(f"_dns._udp.catalog.{SHOP}", "SRV") == [f"0 100 53 catalog.{SHOP}."]
    reply = ask(f"_sql._tcp.db.{SHOP}", "SRV")
    assert {str(one.rdata) for one in reply.rr} == {
        f"0 33 3306 {host}.db.{SHOP}." for host in ("db-0", "db-1", "10-244-0-5")
    }
    along = {(str(one.rname), str(one.rdata)) for one in reply.ar}
    assert (f"db-0.db.{SHOP}.", "fd00:10:244::3") in along
    assert len(along) == 4
    assert ask(f"_http._udp.catalog.{SHOP}", "SRV").header.rcode == RCODE.NXDOMAIN
    assert ask(f"_tcp.catalog.{SHOP}").header.rcode == RCODE.NOERROR, "there is a name below"


def test_addresses_lead_back_to_names() -> None:
    assert found("20.0.96.10.in-addr.arpa", "PTR") == [f"catalog.{SHOP}."]
    assert found("3.0.244.10.in-addr.arpa", "PTR") == [f"db-0.db.{SHOP}."]
    reverse = f"{'.'.join(reversed('fd00001002440000' + '0' * 15 + '3'))}.ip6.arpa"
    assert found(reverse, "PTR") == [f"db-0.db.{SHOP}."]
    assert ask("9.9.9.9.in-addr.arpa", "PTR").header.rcode == RCODE.REFUSED


def test_pods_are_found_by_their_address_in_namespaces_that_exist() -> None:
    assert found("10-244-0-9.shop.pod.cluster.local") == ["10.244.0.9"]
    assert found("fd00-10-244--9.shop.pod.cluster.local", "AAAA") == ["fd00:10:244::9"]
    for name in ("10-244-0-9.nowhere.pod.cluster.local", "x.shop.pod.cluster.local"):
        assert ask(name).header.rcode == RCODE.NXDOMAIN


def test_another_name_leads_to_the_service() -> None:
    assert found(f"alias.{SHOP}") == [f"catalog.{SHOP}.", "10.96.0.20"]


def test_the_version_of_the_specification_is_told() -> None:
    assert found("dns-version.cluster.local", "TXT") == ['"1.1.0"']


def test_any_is_everything() -> None:
    assert [QTYPE[one.rtype] for one in ask(f"db-0.db.{SHOP}", "ANY").rr] == ["A", "AAAA"]
