"""How the sidecar presents itself."""

from google.protobuf.json_format import MessageToDict

from meshproxy.xds.node import node_of


def test_id_cluster_and_metadata() -> None:
    node = node_of(
        role="sidecar",
        pod_name="web-1",
        namespace="shop",
        pod_ip="10.244.0.9",
        service_account="web",
        labels={"app": "web", "version": "v1"},
    )
    assert node.id == "sidecar~10.244.0.9~web-1.shop~shop.svc.cluster.local"
    assert node.cluster == "web.shop"
    assert MessageToDict(node.metadata) == {
        "NAMESPACE": "shop",
        "NAME": "web-1",
        "SERVICE_ACCOUNT": "web",
        "LABELS": {"app": "web", "version": "v1"},
        "INSTANCE_IPS": "10.244.0.9",
        "GENERATOR": "meshproxy",
    }


def test_a_gateway_is_a_router() -> None:
    node = node_of(
        role="router",
        pod_name="edge-1",
        namespace="shop",
        pod_ip="10.244.0.9",
        service_account="edge",
        labels={},
    )
    assert node.id == "router~10.244.0.9~edge-1.shop~shop.svc.cluster.local"


def test_the_cluster_is_named_after_the_app_by_either_label_or_the_pod() -> None:
    def cluster(labels: dict[str, str]) -> str:
        return node_of(
            role="sidecar",
            pod_name="web-1",
            namespace="shop",
            pod_ip="::1",
            service_account="web",
            labels=labels,
        ).cluster

    assert cluster({"app.kubernetes.io/name": "web"}) == "web.shop"
    assert cluster({}) == "web-1.shop"
