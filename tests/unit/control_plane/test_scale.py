"""A big mesh: a change costs what it touches, counted in messages and not in time."""

from collections import Counter

from control_plane.api.envoy.config.core.v3.base_pb2 import Node as XdsNode
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from control_plane.discovery.model import ObjectName
from control_plane.index import Index
from control_plane.push import StreamState
from control_plane.snapshot import SHORT_NAMES
from control_plane.translate.settings import Client, Node
from control_plane.translate.translator import Translator
from meshproxy.xds.subscription import AdsState
from meshproxy.xds.translate import translate
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

SERVICES, CLIENTS = 300, 5


def _address(service: int, pod: int) -> str:
    return f"10.{244 + pod}.{service // 250}.{service % 250 + 1}"


def _slice(service: int, *, ready: bool = True) -> dict[str, object]:
    endpoints = [build.endpoint(_address(service, pod), ready=ready or pod > 0) for pod in range(3)]
    return build.endpoint_slice(f"s{service}", *endpoints)


def _big_mesh() -> Index:
    index = Index()
    for number in range(SERVICES):
        index.apply(build.service(f"s{number}", vip=f"10.96.{number // 250}.{number % 250 + 1}"))
        index.apply(_slice(number))
    return index


class _Sidecar:
    """One client and its stream, with all responses counted."""

    def __init__(self, number: int) -> None:
        namespace = "shop" if number % 2 else "other"
        self.node = Node(ObjectName(namespace, f"c{number}"), Client(namespace))
        self.counted: Counter[str] = Counter()
        self._state = AdsState(XdsNode(id=f"c{number}"))
        self._cursor, self._first = self._state.open_stream()
        self._stream = StreamState(nonce_prefix="n")

    def push(self, translator: Translator) -> None:
        """Give it its snapshot and exchange messages until both are silent."""
        responses = self._stream.on_snapshot(translator.snapshot(self.node), 0.0)
        requests, self._first = self._first, []
        responses += self._ask(requests)
        while responses:
            responses = self._ask([answer for one in responses for answer in self._answer(one)])

    def _ask(self, requests: list[DiscoveryRequest]) -> list[DiscoveryResponse]:
        return [response for request in requests for response in self._stream.on_request(request, 0.0)]

    def _answer(self, response: DiscoveryResponse) -> list[DiscoveryRequest]:
        kind = SHORT_NAMES[response.type_url]
        self.counted[kind] += 1
        self.counted[f"{kind} resources"] += len(response.resources)
        known = self._state.types[response.type_url].accepted
        return self._state.accept(
            self._cursor, response, translate(response.type_url, response.resources, known)
        )


def test_one_endpoint_costs_every_client_one_message_with_one_resource() -> None:
    index = _big_mesh()
    translator = Translator(index.registry, mesh.STRICT)
    sidecars = [_Sidecar(number) for number in range(CLIENTS)]
    for sidecar in sidecars:
        sidecar.push(translator)
        assert sidecar.counted["eds resources"] == SERVICES
        sidecar.counted.clear()
    assert index.apply(_slice(7, ready=False)).affected
    for sidecar in sidecars:
        sidecar.push(translator)
        assert sidecar.counted == {"eds": 1, "eds resources": 1}
        sidecar.counted.clear()
        sidecar.push(translator)
        assert not sidecar.counted
