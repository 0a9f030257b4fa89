"""Conditions keep the time of their last change, and get one where they have none."""

import pytest

from control_plane.resources.manifest import Manifest
from control_plane.resources.status_condition import dated, undated

NOON, LATER = "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"


@pytest.mark.parametrize(
    ("before", "since"),
    [
        ({}, LATER),
        ({"conditions": "none"}, LATER),
        ({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": NOON}]}, LATER),
        ({"conditions": [{"type": "Accepted", "status": "False", "lastTransitionTime": NOON}]}, LATER),
        ({"conditions": [{"type": "Accepted", "status": "True"}]}, LATER),
        ({"conditions": [{"type": "Accepted", "status": "True", "lastTransitionTime": NOON}]}, NOON),
    ],
)
def test_the_time_stays_while_the_status_does(before: Manifest, since: str) -> None:
    assert dated([undated("Accepted", True, "Accepted", "holds")], before, 3, LATER) == [
        {
            "type": "Accepted",
            "status": "True",
            "observedGeneration": 3,
            "lastTransitionTime": since,
            "reason": "Accepted",
            "message": "holds",
        }
    ]
