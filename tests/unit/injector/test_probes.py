"""Probes are turned to the sidecar, and what the pod said reaches the sidecar's own reader."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.probes import JsonObject, turn_back, turn_to_sidecar
from meshproxy.local_app.probe import AppProbe, GrpcProbe, HttpProbe, TcpProbe, parse_probes


def container(**fields: object) -> JsonObject:
    return {"name": "app", "ports": [{"name": "web", "containerPort": 8080}], **fields}


def ours(path: str, **rest: object) -> JsonObject:
    return {"httpGet": {"path": path, "port": 15020}, **rest}


def test_every_network_probe_asks_the_sidecar_and_keeps_its_times() -> None:
    app = container(
        livenessProbe={"httpGet": {"port": 8080, "path": "/live"}, "periodSeconds": 5, "timeoutSeconds": 2},
        readinessProbe={"tcpSocket": {"port": "web"}, "failureThreshold": 9},
        startupProbe={"grpc": {"port": 9090, "service": "shop.Catalog"}},
    )
    result = turn_to_sidecar([app])
    assert app["livenessProbe"] == ours("/app-health/app/livez", periodSeconds=5, timeoutSeconds=2)
    assert app["readinessProbe"] == ours("/app-health/app/readyz", failureThreshold=9)
    assert app["startupProbe"] == ours("/app-health/app/startupz")
    assert result.warnings == []
    assert parse_probes(result.variable) == {
        "/app-health/app/livez": AppProbe(HttpProbe(8080, "/live"), 2.0),
        "/app-health/app/readyz": AppProbe(TcpProbe(8080), 1.0),
        "/app-health/app/startupz": AppProbe(GrpcProbe(9090, "shop.Catalog"), 1.0),
    }


def test_scheme_headers_and_defaults_go_along() -> None:
    http = {
        "port": 8443,
        "scheme": "HTTPS",
        "httpHeaders": [{"name": "X-Key", "value": "$(HOME)"}, {"name": "X-Key", "value": "b"}],
    }
    result = turn_to_sidecar([container(livenessProbe={"httpGet": http, "timeoutSeconds": 7200})])
    expected = HttpProbe(8443, "/", True, (("X-Key", "$(HOME)"), ("X-Key", "b")))
    assert parse_probes(result.variable) == {"/app-health/app/livez": AppProbe(expected, 3600.0)}
    assert "$" not in result.variable


def test_http_hooks_are_turned_as_well() -> None:
    app = container(
        lifecycle={
            "preStop": {"httpGet": {"port": "web", "path": "/bye"}},
            "postStart": {"exec": {"command": ["true"]}},
        }
    )
    result = turn_to_sidecar([app])
    assert app["lifecycle"] == {
        "preStop": ours("/app-lifecycle/app/prestopz"),
        "postStart": {"exec": {"command": ["true"]}},
    }
    assert parse_probes(result.variable)["/app-lifecycle/app/prestopz"].timeout == 60.0


@pytest.mark.parametrize(
    "probe",
    [
        {"exec": {"command": ["true"]}},
        {"httpGet": {"path": "/healthz/ready", "port": 15021}},
        {"httpGet": {"path": "/app-health/app/livez", "port": 15020}},
    ],
)
def test_what_needs_no_turning_stays(probe: JsonObject) -> None:
    app = container(livenessProbe=probe)
    before = copy.deepcopy(app)
    result = turn_to_sidecar([app])
    assert (app, result.variable, result.warnings) == (before, "", [])


@pytest.mark.parametrize(
    ("probe", "warning"),
    [
        ({"httpGet": {"port": 80, "host": "10.0.0.9"}}, "host '10.0.0.9' and is left as it is"),
        ({"tcpSocket": {"port": 80, "host": "127.0.0.1"}}, "remove the host to probe this pod"),
        ({"tcpSocket": {"port": "nope"}}, "port 'nope', which is the name of none"),
        ({"tcpSocket": {}}, "port None, which"),
    ],
)
def test_what_cannot_be_turned_stays_with_a_warning(probe: JsonObject, warning: str) -> None:
    app = container(readinessProbe=probe)
    before = copy.deepcopy(app)
    result = turn_to_sidecar([app])
    assert (app, result.variable) == (before, "")
    (found,) = result.warnings
    assert found.startswith("container 'app': readinessProbe ")
    assert warning in found


def test_a_number_in_quotes_is_a_number() -> None:
    result = turn_to_sidecar([{"name": "app", "livenessProbe": {"tcpSocket": {"port": "8080"}}}])
    assert parse_probes(result.variable)["/app-health/app/livez"].action == TcpProbe(8080)


def test_turning_back_gives_the_pod_as_it_was() -> None:
    original: list[JsonObject] = [
        container(
            livenessProbe={"httpGet": {"port": "web", "path": "/$(X)"}, "periodSeconds": 5},
            readinessProbe={"exec": {"command": ["true"]}},
            lifecycle={"preStop": {"httpGet": {"port": 8080}}},
        ),
        {"name": "second", "startupProbe": {"grpc": {"port": 9090}}},
    ]
    changed = copy.deepcopy(original)
    variable = turn_to_sidecar(changed).variable
    assert changed != original
    changed[1]["startupProbe"]["httpGet"]["scheme"] = "HTTP"  # type: ignore[index]  # as the API server fills in
    turn_back(changed, variable)
    assert changed == original


def test_turning_back_leaves_what_was_changed_since() -> None:
    app = container(livenessProbe={"tcpSocket": {"port": 8080}})
    variable = turn_to_sidecar([app]).variable
    app["livenessProbe"] = {"httpGet": {"path": "/mine", "port": 8080}}
    turn_back([app], variable)
    assert app["livenessProbe"] == {"httpGet": {"path": "/mine", "port": 8080}}


def test_turning_back_by_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="is not an object"):
        turn_back([], json.dumps([1]))


NAMES = st.sampled_from(["web", "grpc", "unknown", "8080"])
PORTS = st.integers(1, 65535) | NAMES
HEADERS = st.lists(st.fixed_dictionaries({"name": st.just("X"), "value": st.text(max_size=5)}), max_size=2)
ACTIONS = st.one_of(
    st.fixed_dictionaries(
        {"port": PORTS},
        optional={
            "path": st.text(max_size=6),
            "scheme": st.sampled_from(["HTTP", "HTTPS"]),
            "httpHeaders": HEADERS,
            "host": st.sampled_from(["", "10.0.0.1"]),
        },
    ).map(lambda action: {"httpGet": action}),
    st.fixed_dictionaries({"port": PORTS}).map(lambda action: {"tcpSocket": action}),
    st.fixed_dictionaries(
        {"port": st.integers(1, 65535)}, optional={"service": st.none() | st.text("ab$")}
    ).map(lambda action: {"grpc": action}),
    st.just({"exec": {"command": ["true"]}}),
)
PROBES = st.builds(
    lambda action, times: {**action, **times},
    ACTIONS,
    st.fixed_dictionaries({}, optional={"timeoutSeconds": st.integers(1, 9999), "periodSeconds": st.just(3)}),
)


@given(st.dictionaries(st.sampled_from(["livenessProbe", "readinessProbe", "startupProbe"]), PROBES))
def test_whatever_a_pod_asks_the_sidecar_understands_and_gives_back(probes: dict[str, JsonObject]) -> None:
    app = container(**copy.deepcopy(probes))
    before = copy.deepcopy(app)
    result = turn_to_sidecar([app])
    assert "$" not in result.variable
    asked = parse_probes(result.variable)
    turned = {name for name in probes if app[name] != before[name]}
    assert len(asked) == len(turned)
    again = turn_to_sidecar([app])
    assert again.asked == {}
    if result.variable:
        turn_back([app], result.variable)
    assert app.keys() == before.keys()
    for name in turned:
        assert without_empty(app[name]) == without_empty(before[name])


def without_empty(value: object) -> object:
    """As the API server takes it: what is empty is not there."""
    if isinstance(value, dict):
        return {key: without_empty(each) for key, each in value.items() if each not in (None, "")}
    return value
