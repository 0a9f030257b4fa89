"""Traffic annotations become flags of the init container."""

from decimal import Decimal
from pathlib import Path

import pytest

from injector.annotations import PodWishes, read_wishes, traffic_flags, unknown_annotations
from injector.errors import InjectionError
from injector.quantity import quantity
from meshproxy.interception.__main__ import parser, settings_of
from meshproxy.interception.settings import InterceptionSettings


def flags(**annotations: str) -> list[str]:
    return traffic_flags({f"traffic.meshproxy.io/{name}": text for name, text in annotations.items()})


def test_other_annotations_are_none_of_ours() -> None:
    assert traffic_flags({"example.com/excludeInboundPorts": "nonsense"}) == []


def test_every_annotation_becomes_its_flag_in_a_fixed_order() -> None:
    assert flags(
        excludeOutboundIPRanges="10.9.0.0/16, fd00::/8",
        includeOutboundIPRanges="*",
        excludeOutboundPorts="3306",
        includeOutboundPorts="9000",
        excludeInboundPorts=" 22 ,2222",
        includeInboundPorts="*",
    ) == [
        "--include-inbound-ports=*",
        "--exclude-inbound-ports=22,2222",
        "--include-outbound-ports=9000",
        "--exclude-outbound-ports=3306",
        "--include-outbound-ip-ranges=*",
        "--exclude-outbound-ip-ranges=10.9.0.0/16,fd00::/8",
    ]


def test_an_empty_include_is_nothing_and_not_the_default() -> None:
    assert flags(includeInboundPorts="", includeOutboundIPRanges="") == [
        "--include-inbound-ports=",
        "--include-outbound-ip-ranges=",
    ]
    assert flags(includeInboundPorts="080", includeOutboundIPRanges="10.0.0.1") == [
        "--include-inbound-ports=80",
        "--include-outbound-ip-ranges=10.0.0.1/32",
    ]


def test_the_init_container_understands_every_flag() -> None:
    given = flags(
        includeInboundPorts="80",
        excludeInboundPorts="22",
        includeOutboundPorts="9000",
        excludeOutboundPorts="3306",
        includeOutboundIPRanges="10.0.0.0/8",
        excludeOutboundIPRanges="10.9.0.0/16",
    )
    settings = settings_of(parser({}).parse_args(given))
    assert settings.include_inbound_ports == (80,)
    assert len(given) == 6
    default = InterceptionSettings()
    for field in ("include_inbound_ports", "exclude_inbound_ports", "include_outbound_ports"):
        assert getattr(settings, field) != getattr(default, field)
    for field in ("exclude_outbound_ports", "include_outbound_ranges", "exclude_outbound_ranges"):
        assert getattr(settings, field) != getattr(default, field)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("excludeInboundPorts", "*"),
        ("excludeInboundPorts", "http"),
        ("includeInboundPorts", "80,"),
        ("includeOutboundPorts", "0"),
        ("excludeOutboundPorts", "65536"),
        ("includeOutboundIPRanges", "10.0.0.1/8"),
        ("excludeOutboundIPRanges", "example.com"),
    ],
)
def test_a_wrong_value_is_refused_with_annotation_value_and_mend(name: str, text: str) -> None:
    with pytest.raises(
        InjectionError, match=rf"annotation traffic\.meshproxy\.io/{name}: '.*' is not .*; use "
    ):
        flags(**{name: text})


def test_opaque_ports_are_checked_and_no_business_of_the_interception() -> None:
    assert flags(opaquePorts="3306, 6379") == []
    with pytest.raises(InjectionError, match="opaquePorts: 'mysql' is not a port"):
        flags(opaquePorts="mysql")


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("traffic.meshproxy.io/excludeInboundPort", "did you mean traffic.meshproxy.io/excludeInboundPorts?"),
        ("sidecar.meshproxy.io/loglevel", "did you mean sidecar.meshproxy.io/logLevel?"),
        ("meshproxy.io/whatever-this-is", "known are traffic.meshproxy.io/includeInboundPorts, "),
        (
            "traffic.sidecar.istio.io/excludeInboundPorts",
            "here it is traffic.meshproxy.io/excludeInboundPorts",
        ),
        ("sidecar.istio.io/proxyCPU", "here it is sidecar.meshproxy.io/proxyCPU"),
        ("sidecar.istio.io/inject", "here it is meshproxy.io/inject"),
        ("config.linkerd.io/opaque-ports", "here it is traffic.meshproxy.io/opaquePorts"),
        ("config.linkerd.io/enable-debug-sidecar", "nothing here has its meaning"),
    ],
)
def test_a_name_that_says_nothing_to_us_gets_a_warning_with_the_nearest(name: str, warning: str) -> None:
    (found,) = unknown_annotations({name: "x", "meshproxy.io/inject": "true", "example.com/a": "b"})
    assert found.startswith(f"annotation {name} is ")
    assert warning in found


def test_every_annotation_is_described() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sidecar_in_a_pod.md").read_text()
    (warning,) = unknown_annotations({"meshproxy.io/what-is-there": "x"})
    known = warning.partition("known are ")[2].split(", ")
    assert len(known) > 15
    assert [name for name in known if f"`{name}`" not in page] == []


def test_what_is_said_of_the_sidecar_is_read() -> None:
    said = {
        "logLevel": "debug",
        "concurrency": "4",
        "maxConnections": "500",
        "proxyImage": "registry/mesh:2",
        "proxyCPU": "250m",
        "proxyCPULimit": "1.5",
        "proxyMemory": "64Mi",
        "proxyMemoryLimit": "1e8",
        "rewriteAppProbes": "false",
    }
    annotations = {f"sidecar.meshproxy.io/{name}": text for name, text in said.items()}
    assert read_wishes({**annotations, "prometheus.meshproxy.io/mergeMetrics": "false"}) == PodWishes(
        (),
        "debug",
        "4",
        "500",
        "registry/mesh:2",
        {"cpu": "250m", "memory": "64Mi"},
        {"cpu": "1.5", "memory": "1e8"},
        False,
        False,
    )
    assert read_wishes({}) == PodWishes()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("logLevel", "trace", "is 'trace'; use one of debug, info, warning, error"),
        ("concurrency", "0", "is '0'; use a number from 1 to 64"),
        ("concurrency", "auto", "is 'auto'; use a number"),
        ("maxConnections", "1000001", "use a number from 1 to 1000000"),
        ("proxyImage", " ", "give the name of an image"),
        ("proxyCPU", "much", "'much' is not a quantity; use e.g. 100m"),
        ("proxyMemory", "0", "'0' is not a quantity"),
        ("rewriteAppProbes", "yes", "is 'yes'; use one of true, false"),
    ],
)
def test_a_wrong_wish_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(InjectionError, match=message):
        read_wishes({f"sidecar.meshproxy.io/{name}": text})


def test_a_request_above_its_limit_is_refused() -> None:
    with pytest.raises(InjectionError, match="cpu 2 is above its limit 1500m; raise the limit"):
        read_wishes({"sidecar.meshproxy.io/proxyCPU": "2", "sidecar.meshproxy.io/proxyCPULimit": "1500m"})


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", "0.1"), ("1.5", "1.5"), (".5", "0.5"), ("64Mi", "67108864"), ("1e3", "1000"), ("2E", "2e18")],
)
def test_quantities_are_kubernetes_own(text: str, value: str) -> None:
    assert quantity(text, "x") == Decimal(value)
