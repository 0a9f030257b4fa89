"""Times as Kubernetes writes them."""

from control_plane.resources.timestamp import rfc3339


def test_whole_seconds_in_utc() -> None:
    assert rfc3339(1700000000.9) == "2023-11-14T22:13:20Z"
