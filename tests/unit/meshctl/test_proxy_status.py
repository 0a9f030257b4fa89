"""The account of `/debug/syncz`, one row a sidecar."""

from meshctl.proxy_status import is_synced, node_name, rejections, status_row

NODE_ID = "sidecar~10.244.0.5~web-1.shop~shop.svc.cluster.local"


def node(node_id: str = NODE_ID, **states: str) -> dict[str, object]:
    types = {
        kind: {"state": state, "nackedReason": "bad" if state == "NACKED" else ""}
        for kind, state in states.items()
    }
    return {"nodeId": node_id, "types": types}


def test_a_sidecar_is_named_by_pod_and_namespace():
    assert node_name(node()) == "web-1.shop"
    assert node_name(node("another")) == "another"


def test_a_type_that_is_not_there_is_a_dash():
    assert status_row(node(cds="SYNCED", lds="STALE")) == ["web-1.shop", "SYNCED", "STALE", "-", "-"]


def test_rejections_are_told_in_the_sidecars_words():
    assert rejections([node(cds="SYNCED"), node(lds="NACKED")]) == ["web-1.shop refused lds: bad"]


def test_synced_is_every_type_that_was_asked_for():
    assert is_synced(node(cds="SYNCED", lds="SYNCED", eds="NOT SENT"))
    assert not is_synced(node(cds="SYNCED", lds="STALE"))
    assert not is_synced(node(cds="NACKED"))
    assert not is_synced(node(cds="NOT SENT"))
    assert not is_synced(node())
