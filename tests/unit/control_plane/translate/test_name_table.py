"""The names that sidecars answer: emitted, taken in by the sidecar's own translation, and only as changed."""

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.istio.networking.nds.v1.nds_pb2 import NameTable as Proto
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import NAME_TABLE, NAME_TABLE_TYPE
from control_plane.translate.translator import Translator
from meshproxy.config.name_table import NameTable
from meshproxy.errors import ConfigError
from meshproxy.xds.translate import translate as take_in
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

SHOP = "shop.svc.cluster.local"


def entry(name: str, host: str, *, created: str = build.EARLY, **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "ServiceEntry",
        "metadata": build.meta(name, created=created),
        "spec": {"hosts": [host], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], **spec},
    }


def headless(name: str) -> Manifest:
    return build.service(name, vip="None")


def of(*manifests: Manifest) -> dict[str, list[str]]:
    """Addresses by host."""
    table = emitted(*manifests)
    return {host: list(info.ips) for host, info in table.table.items()}


def emitted(*manifests: Manifest) -> Proto:
    resource = mesh.translate(mesh.shop(*manifests)).of_type(NAME_TABLE_TYPE)[NAME_TABLE]
    return Proto.FromString(resource.body.value)


def test_a_service_is_its_virtual_address_and_says_whose_it_is() -> None:
    info = emitted().table[f"catalog.{SHOP}"]
    assert (list(info.ips), info.registry) == (["10.96.0.7"], "Kubernetes")
    assert (info.shortname, info.namespace) == ("catalog", "shop")


def test_a_headless_service_is_its_ready_pods_and_each_by_its_host_name() -> None:
    first = {**build.endpoint("10.244.0.4"), "hostname": "db-0"}
    others = [build.endpoint("10.244.0.3"), build.endpoint("10.244.0.9", ready=False)]
    found = of(headless("db"), build.endpoint_slice("db", first, *others, ports=[]))
    assert found[f"db.{SHOP}"] == ["10.244.0.3", "10.244.0.4"]
    assert found[f"db-0.db.{SHOP}"] == ["10.244.0.4"]


def test_what_has_no_address_is_in_the_table_all_the_same() -> None:
    alias = build.service("alias", vip="")
    alias["spec"] = {"type": "ExternalName", "externalName": "www.example.com"}
    assert of(alias, headless("db")) | {f"catalog.{SHOP}": []} == {
        f"alias.{SHOP}": [],
        f"db.{SHOP}": [],
        f"catalog.{SHOP}": [],
    }


def test_another_name_for_a_service_is_that_service() -> None:
    alias = build.service("alias", vip="")
    alias["spec"] = {"type": "ExternalName", "externalName": f"catalog.{SHOP}"}
    assert of(alias)[f"alias.{SHOP}"] == ["10.96.0.7"]


def test_hosts_outside_have_their_virtual_addresses_or_those_of_their_endpoints() -> None:
    found = of(
        entry("a", "a.example.com", addresses=["240.240.0.1"], resolution="DNS"),
        entry("b", "b.example.com", resolution="STATIC", endpoints=[{"address": "192.0.2.9"}]),
        entry("c", "c.example.com", resolution="DNS"),
        entry("d", "a.example.com", addresses=["240.240.0.2"], resolution="DNS", created=build.LATE),
    )
    assert found == {
        f"catalog.{SHOP}": ["10.96.0.7"],
        "a.example.com": ["240.240.0.1"],
        "b.example.com": ["192.0.2.9"],
    }


def test_the_table_is_made_again_only_where_a_name_changed() -> None:
    index = mesh.shop(headless("db"))
    translator = Translator(index.registry, mesh.STRICT)

    def table() -> object:
        return translator.snapshot(mesh.WEB).of_type(NAME_TABLE_TYPE)[NAME_TABLE]

    before = table()
    index.apply(build.endpoint_slice("catalog", build.endpoint("10.244.0.8")))
    assert table() is before
    index.apply(build.endpoint_slice("db", build.endpoint("10.244.0.8"), ports=[]))
    assert table() is not before


def test_stock_envoy_gets_none() -> None:
    assert not mesh.translate(mesh.shop(), mesh.ENVOY).of_type(NAME_TABLE_TYPE)


def taken(table: Proto) -> NameTable:
    packed = AnyMessage(type_url=NAME_TABLE_TYPE, value=table.SerializeToString())
    value = take_in(NAME_TABLE_TYPE, [packed])[NAME_TABLE].value
    assert isinstance(value, NameTable)
    return value


def test_the_sidecar_reads_addresses_and_the_clusters_domain() -> None:
    table = emitted(
        entry("a", "*.Example.com".lower(), addresses=["240.240.0.1", "fd00::1"], resolution="NONE")
    )
    found = taken(table)
    assert found.domain == "cluster.local"
    assert found.ancestors == {"cluster.local", "svc.cluster.local", SHOP}
    assert found.names[f"catalog.{SHOP}"].v4 == (bytes((10, 96, 0, 7)),)
    assert (len(found.names["*.example.com"].v4), len(found.names["*.example.com"].v6)) == (1, 1)


def test_many_names_are_taken_in_steps_and_foreign_services_say_no_domain() -> None:
    table = Proto()
    for number in range(450):
        table.table[f"host-{number}.example.com"].registry = "Kubernetes"
    found = taken(table)
    assert (len(found.names), found.domain) == (450, "")


@pytest.mark.parametrize(
    ("host", "fields", "message"),
    [
        ("a..b", {}, r"table\['a\.\.b'\]: the key is no host name"),
        ("a" * 64, {}, "the key is no host name"),
        ("A.example", {}, "given twice"),
        ("b.example", {"ips": ["10.0.0"]}, r"ips\[0\]: '10\.0\.0' is not an IP address"),
        (
            "x.y.svc.other",
            {"registry": "Kubernetes", "shortname": "x", "namespace": "y"},
            "more than one domain: cluster.local, other",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused(host: str, fields: dict[str, object], message: str) -> None:
    table = emitted()
    table.table["a.example"].ips.append("192.0.2.1")
    table.table[host].MergeFrom(Proto.NameInfo(**fields))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        taken(table)


def test_what_is_not_known_is_refused() -> None:
    packed = AnyMessage(type_url=NAME_TABLE_TYPE, value=b"\x12\x00")  # field 2: name_info, of delta xDS
    with pytest.raises(ConfigError, match="field number 2 of istio"):
        take_in(NAME_TABLE_TYPE, [packed])
