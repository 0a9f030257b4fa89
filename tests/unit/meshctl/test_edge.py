"""Edges between workloads, from what sidecars count at both ends."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from lab.paths import LabPaths
from lab.pod_record import ContainerPlace, PodRecord, write_pod_record
from meshctl import edges as command
from meshctl.demo.samples import Samples
from meshctl.edge import MUTUAL_TLS, PLAINTEXT, Edge, edge_rows, edges, readings, since
from meshctl.sidecar_admin import PodUnreachable

WEB, CATALOG = "spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/catalog"


def _line(metric: str, value: int, **labels: str) -> str:
    shown = {
        "reporter": "source",
        "source_workload_namespace": "shop",
        "source_workload": "web",
        "source_principal": WEB,
        "destination_workload_namespace": "shop",
        "destination_workload": "catalog",
        "destination_principal": CATALOG,
        "destination_service": "catalog.shop.svc.cluster.local",
        "connection_security_policy": "unknown",
        **labels,
    }
    inner = ",".join(f'{name}="{text}"' for name, text in shown.items())
    return f"{metric}{{{inner}}} {value}\n"


def _requests(value: int, **labels: str) -> str:
    return _line("istio_requests_total", value, **labels)


def _called(value: int, policy: str, **labels: str) -> str:
    return _requests(value, reporter="destination", connection_security_policy=policy, **labels)


STRANGER = {
    "source_workload": "unknown",
    "source_workload_namespace": "unknown",
    "source_principal": "unknown",
}


def _edges(*sidecars: str) -> dict[Edge, Counter[str]]:
    return edges(readings(Samples(text)) for text in sidecars)


def test_the_called_sidecar_is_believed() -> None:
    found = _edges(_requests(7), _called(5, "mutual_tls") + _called(3, "none", **STRANGER))
    assert found == {
        Edge("(no sidecar)", "shop/catalog", PLAINTEXT): Counter(requests=3),
        Edge("shop/web", "shop/catalog", MUTUAL_TLS): Counter(requests=5),
    }


def test_where_the_called_pod_has_no_sidecar_the_calling_one_is_asked() -> None:
    without = {"destination_principal": "unknown"}
    outside = {"destination_workload": "unknown", "destination_service": "api.example.com", **without}
    nowhere = {"destination_workload": "unknown", "destination_service": "unknown", **without}
    assert set(_edges(_requests(7, **without), _requests(1, **outside), _requests(1, **nowhere))) == {
        Edge("shop/web", "shop/catalog", PLAINTEXT),
        Edge("shop/web", "api.example.com", PLAINTEXT),
        Edge("shop/web", "(no sidecar)", PLAINTEXT),
    }


def test_a_client_that_says_nothing_of_itself_is_known_by_its_certificate() -> None:
    (edge,) = _edges(_called(1, "mutual_tls", source_workload="unknown"))
    assert edge == Edge(WEB, "shop/catalog", MUTUAL_TLS)


def test_long_connections_are_seen_by_their_bytes() -> None:
    text = _line("istio_tcp_sent_bytes_total", 100) + _line("istio_tcp_received_bytes_total", 20)
    before = readings(Samples(text + _line("istio_tcp_connections_opened_total", 1)))
    more = _line("istio_tcp_sent_bytes_total", 150) + _line("istio_tcp_received_bytes_total", 20)
    after = readings(Samples(more + _line("istio_tcp_connections_opened_total", 1)))
    found = edges([since(before, after)])
    assert found == {Edge("shop/web", "shop/catalog", MUTUAL_TLS): Counter(bytes=50)}
    assert edge_rows(found)[1][3] == "50 bytes"
    assert not since(after, after)
    (again,) = edges([since(after, before)]).values()
    assert again == Counter(bytes=120), "it started again"


class _Pages:
    """Each sidecar's metrics, one page after the other."""

    def __init__(self, **pages: list[str]) -> None:
        self._pages = pages

    def __call__(self, pod: PodRecord, path: str, port: int) -> str:
        assert (path, port) == ("/stats/prometheus", 15090)
        left = self._pages[pod.name]
        if not left:
            raise PodUnreachable("gone")
        return left.pop(0)


@pytest.fixture
def lab(tmp_path: Path) -> LabPaths:
    paths = LabPaths(tmp_path)
    place = ContainerPlace(1, 0, 0)
    for name, containers in (("web", ["web", "meshproxy"]), ("catalog", ["meshproxy"]), ("plain", ["app"])):
        folder = paths.pods / name
        folder.mkdir(parents=True)
        places = dict.fromkeys(containers, place)
        write_pod_record(folder / "pod.json", PodRecord("shop", name, name, "10.0.0.1", "app", places))
    return paths


def _run(monkeypatch: pytest.MonkeyPatch, lab: LabPaths, pages: _Pages, *arguments: str) -> str:
    monkeypatch.setattr(command, "find_lab", lambda name: lab)
    monkeypatch.setattr(command, "read_page", pages)
    done = CliRunner().invoke(command.edges, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_shows_what_grew(monkeypatch: pytest.MonkeyPatch, lab: LabPaths) -> None:
    stranger = [_called(value, "none", **STRANGER) for value in (3, 5)]
    pages = _Pages(web=["", _requests(2)], catalog=[one + _called(4, "mutual_tls") for one in stranger])
    output = _run(monkeypatch, lab, pages, "--window", "0.01")
    assert [line.split() for line in output.splitlines()] == [
        ["SRC", "DST", "SECURED", "SEEN"],
        ["(no", "sidecar)", "shop/catalog", "none", "2", "requests"],
        ["shop/web", "shop/catalog", "mutual_tls", "2", "requests"],
    ]


def test_the_command_tells_when_nothing_is_left(monkeypatch: pytest.MonkeyPatch, lab: LabPaths) -> None:
    pages = _Pages(web=[_requests(2)], catalog=[])
    output = _run(monkeypatch, lab, pages, "--window", "0", "--plaintext")
    assert output == "no edge in plaintext was seen since the sidecars started\n"
    pages = _Pages(web=["", _requests(2)], catalog=[])
    output = _run(monkeypatch, lab, pages, "--window", "0.01", "-n", "elsewhere")
    assert output == "no edge was seen in 0.01 s\n"
