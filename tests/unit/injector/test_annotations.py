"""Traffic annotations become flags of the init container."""

import pytest

from injector.annotations import traffic_flags
from injector.errors import InjectionError
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


def test_a_misspelt_annotation_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InjectionError, match="excludeInboundPort is not known; known are includeInboundPorts, "
    ):
        flags(excludeInboundPort="22")
