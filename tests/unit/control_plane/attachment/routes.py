"""Short values for tests of attachment."""

from control_plane.discovery.model import ObjectName
from control_plane.discovery.parse_route import parse_route
from control_plane.discovery.route import HttpRoute, Route
from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from tests.unit.control_plane import manifest_builder as build

CATALOG = ObjectName("shop", "catalog")
PORTS = [
    {"name": "http", "port": 8080},
    {"name": "tcp", "port": 7000},
    {"name": "any", "port": 9000},
]


def index_of(*manifests: Manifest) -> Index:
    """`catalog` with an HTTP, an opaque and an undeclared port, and what is added."""
    index = Index()
    for manifest in (build.service("catalog", *PORTS), *manifests):
        index.apply(manifest)
    return index


def parsed(manifest: Manifest) -> Route:
    return parse_route(manifest)[0]


def http(manifest: Manifest) -> HttpRoute:
    route = parsed(manifest)
    assert isinstance(route, HttpRoute)
    return route
