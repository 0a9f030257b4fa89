"""Istio's names and labels, exactly."""

import re

from meshproxy.telemetry import names
from meshproxy.telemetry.labels import TcpLabels

ISTIO_LABELS = {
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_canonical_service",
    "source_canonical_revision",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_cluster",
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "connection_security_policy",
    "response_flags",
}


def test_request_labels_are_istios() -> None:
    assert set(names.REQUEST_LABELS) == ISTIO_LABELS
    assert len(names.REQUEST_LABELS) == len(ISTIO_LABELS)


def test_tcp_labels_are_istios_without_those_of_a_response() -> None:
    assert set(names.TCP_LABELS) == ISTIO_LABELS - {"response_code", "grpc_response_status"}


def test_the_label_tuple_has_the_names_in_order() -> None:
    assert TcpLabels._fields == names.TCP_LABELS


def test_bucket_bounds_are_istios() -> None:
    milliseconds = [
        0.5,
        1,
        5,
        10,
        25,
        50,
        100,
        250,
        500,
        1000,
        2500,
        5000,
        10000,
        30000,
        60000,
        300000,
        600000,
    ]
    assert list(names.HISTOGRAM_BOUNDS) == [*milliseconds, 1800000, 3600000]


def test_names_follow_prometheus_rules_and_every_family_has_a_help_text() -> None:
    for name, family in names.OWN_FAMILIES.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert family.help
        assert name.endswith("_total") is (family.kind is names.MetricKind.COUNTER)
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in family.labels)
