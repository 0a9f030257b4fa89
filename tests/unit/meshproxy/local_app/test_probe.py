"""`MESHPROXY_APP_PROBES`: what is read, what is refused."""

import json

import pytest

from meshproxy.errors import ConfigError
from meshproxy.local_app.probe import MAX_PROBES, AppProbe, GrpcProbe, HttpProbe, TcpProbe, parse_probes

LIVE = "/app-health/app/livez"


def read(probe: object) -> AppProbe:
    return parse_probes(json.dumps({LIVE: probe}))[LIVE]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"httpGet": {"port": 80}}, AppProbe(HttpProbe(80), 1.0)),
        ({"httpGet": {"port": 80, "path": ""}}, AppProbe(HttpProbe(80), 1.0)),
        (
            {
                "httpGet": {
                    "port": 80,
                    "path": "/x",
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "A", "value": "b"}, {"name": "C"}],
                },
                "timeoutSeconds": 3,
                "portName": "web",
            },
            AppProbe(HttpProbe(80, "/x", True, (("A", "b"), ("C", ""))), 3.0),
        ),
        ({"tcpSocket": {"port": 65535}}, AppProbe(TcpProbe(65535), 1.0)),
        ({"grpc": {"port": 1}}, AppProbe(GrpcProbe(1), 1.0)),
        ({"grpc": {"port": 1, "service": None}}, AppProbe(GrpcProbe(1), 1.0)),
        ({"grpc": {"port": 1, "service": "s"}}, AppProbe(GrpcProbe(1, "s"), 1.0)),
    ],
)
def test_probes_are_read_with_kubernetes_defaults(probe: object, expected: AppProbe) -> None:
    assert read(probe) == expected


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_there_may_be_none(text: str) -> None:
    assert parse_probes(text) == {}


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (7, "7 is not an object"),
        ({}, "exactly one of httpGet, tcpSocket, grpc"),
        ({"httpGet": {"port": 1}, "grpc": {"port": 1}}, "exactly one of"),
        ({"exec": {"command": []}}, "unknown field 'exec'"),
        ({"tcpSocket": {"port": 1, "host": "x"}}, r"tcpSocket: unknown field 'host'; known are port"),
        ({"tcpSocket": {"port": "web"}}, r"tcpSocket\.port 'web': give a number from 1 to 65535"),
        ({"tcpSocket": {"port": True}}, r"port True: give"),
        ({"tcpSocket": {"port": 0}}, r"port 0: give"),
        ({"tcpSocket": {}}, "port None: give"),
        ({"tcpSocket": {"port": 1}, "timeoutSeconds": 3601}, r"timeoutSeconds 3601: give a number from 1"),
        ({"httpGet": {"port": 1, "scheme": "http"}}, r"httpGet\.scheme 'http': use HTTP or HTTPS"),
        ({"httpGet": {"port": 1, "path": 1}}, r"httpGet\.path 1 is not text"),
        ({"httpGet": {"port": 1, "httpHeaders": {}}}, r"httpHeaders {} is not a list"),
        ({"httpGet": {"port": 1, "httpHeaders": [{"value": "x"}]}}, r"httpHeaders\[0\]\.name None is not"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(probe: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(probe)


@pytest.mark.parametrize(
    "path", ["/", "/app-health/app/../x", "/app-health/A/livez", "/app-health/app/prestopz"]
)
def test_paths_are_those_of_the_injector(path: str) -> None:
    with pytest.raises(ConfigError, match="is not /app-health/<container>/livez"):
        parse_probes(json.dumps({path: {"tcpSocket": {"port": 1}}}))


def test_text_that_is_no_json_and_too_many_probes_are_refused() -> None:
    with pytest.raises(ConfigError, match="is not JSON"):
        parse_probes("{")
    many = {f"/app-health/c{index}/livez": {"tcpSocket": {"port": 1}} for index in range(MAX_PROBES + 1)}
    with pytest.raises(ConfigError, match="1001 probes; at most 1000"):
        parse_probes(json.dumps(many))
