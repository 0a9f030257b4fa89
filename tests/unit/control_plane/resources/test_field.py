"""Field types: what each accepts, and what it says when it does not."""

import pytest
from pydantic import Field, ValidationError

from control_plane.resources import field
from control_plane.resources.base import Model


class Sample(Model):
    label: field.LabelName = "a"
    service: field.ServiceName = "a"
    subdomain: field.SubdomainName = "a"
    labels: field.Labels = Field(default_factory=dict)
    key: field.ConfigKey = "a"
    port: field.Port = 1
    port_name: field.PortName = "http"
    target: field.PortOrName = 1
    surge: field.IntOrPercent = 1
    quantity: field.Quantity = 1
    address: field.IpAddress = "::1"
    cluster_ip: field.ClusterIp = ""
    count: field.Count = 0
    items: field.Items[int] = ()
    later: field.NotSupported = None


ACCEPTED: list[tuple[str, list[object]]] = [
    ("label", ["a", "a-1", "0", "a" * 63]),
    ("service", ["a", "a-1", "a" * 63]),
    ("subdomain", ["a", "a.b-c.d", "1.2", ".".join(["a" * 62] * 4)]),
    ("labels", [{"app": "web"}, {"a.b/c": ""}, {"A_b.c": "D_e.f"}, {"a": "x" * 63}]),
    ("key", ["a", "a.b_c-D", "..a"]),
    ("port", [1, 65535]),
    ("portName", ["http", "grpc-web", "1a"]),
    ("target", [1, 65535, "http"]),
    ("surge", [0, 3, "0%", "100%"]),
    ("quantity", [0, 1.5, "500m", "64Mi", "1e3", ".5", "-1", "1e999", "9" * 64]),
    ("address", ["10.0.0.1", "fd00::1"]),
    ("clusterIP", ["", "None", "10.96.0.1"]),
    ("count", [0, 9]),
    ("items", [[], [1, 2]]),
]
REFUSED: list[tuple[str, list[object]]] = [
    ("label", ["", "A", "a.b", "-a", "a-", "a" * 64, "a\n", 1, None]),
    ("service", ["1a", "a.b", ""]),
    ("subdomain", ["", "a..b", ".a", "A", "a_b", ".".join(["a" * 63] * 4)]),
    (
        "labels",
        [{"": "x"}, {"/a": "x"}, {"a/b/c": "x"}, {"A/b": "x"}, {"a": "-"}, {"a": "x" * 64}, {"a": 1}, []],
    ),
    ("key", ["", ".", "..", "a/b", "a" * 254]),
    ("port", [0, 65536, "80", True, 1.0]),
    ("portName", ["", "1", "a--b", "A", "a" * 16]),
    ("target", [0, 65536, True, "80", "", 1.5, None]),
    ("surge", [-1, True, "25", "1000%", 1.5]),
    ("quantity", ["", "1Kb", "Mi", True, [1], "1e9999", "9" * 65]),
    ("address", ["", "10.0.0", "10.0.0.1/8", "a"]),
    ("clusterIP", ["none", "a"]),
    ("count", [-1, "1", False]),
    ("items", ["12", {"a": 1}, 1, ["1"]]),
    ("later", [1, {}, "x"]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ACCEPTED for value in values])
def test_accepts(name: str, value: object) -> None:
    assert Sample.model_validate({name: value}).model_dump(by_alias=True, mode="json")[name] == value


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED for value in values])
def test_refuses_and_names_the_field(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        Sample.model_validate({name: value})
    assert {error["loc"][0] for error in refusal.value.errors()} == {name}
