"""Pages of several workers as one."""

from typing import Any

from meshproxy.workers import sums


def _endpoint(address: str, requests: int) -> dict[str, object]:
    return {"address": address, "weight": 3, "requests": requests, "connections": 1}


def _cluster(name: str, active: int, *endpoints: dict[str, object]) -> dict[str, object]:
    return {"name": name, "type": "eds", "active_requests": active, "endpoints": list(endpoints)}


def test_counts_of_clusters_and_endpoints_are_added_up() -> None:
    pages = [
        [_cluster("b", 1, _endpoint("a:1", 5)), _cluster("a", 0)],
        [_cluster("a", 2), _cluster("b", 3, _endpoint("a:1", 6), _endpoint("a:2", 1))],
    ]
    found: list[dict[str, Any]] = sums.clusters(pages)
    assert [(row["name"], row["active_requests"], row["type"]) for row in found] == [
        ("a", 2, "eds"),
        ("b", 4, "eds"),
    ]
    assert [(e["address"], e["requests"], e["connections"], e["weight"]) for e in found[1]["endpoints"]] == [
        ("a:1", 11, 2, 3),
        ("a:2", 1, 1, 3),
    ]
    assert pages[0][0]["active_requests"] == 1  # the pages are left as they are


def test_the_worst_state_is_shown() -> None:
    states = [{"address": "a:1", "is_ejected": ejected, "ejections": 2} for ejected in (False, True)]
    pages = [[{"name": "c", "is_panicking": False, "endpoints": [state]}] for state in states]
    (cluster,) = sums.clusters(pages)
    assert cluster == {
        "name": "c",
        "is_panicking": False,
        "endpoints": [{"address": "a:1", "is_ejected": True, "ejections": 4}],
    }


def test_listeners_are_there_once_with_every_port() -> None:
    pages = [
        [{"name": "x", "bound_ports": [15001]}, {"name": "free", "bound_ports": [4000]}],
        [{"name": "x", "bound_ports": [15001]}, {"name": "free", "bound_ports": [4001]}],
    ]
    assert sums.listeners(pages) == [
        {"name": "free", "bound_ports": [4000, 4001]},
        {"name": "x", "bound_ports": [15001]},
    ]


def test_no_worker_has_no_pages() -> None:
    assert (sums.clusters([]), sums.listeners([])) == ([], [])
