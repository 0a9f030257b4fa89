"""Translation of any set of resources: consistent, accepted, in order, and with no memory of arrival."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.discovery.model import ObjectName
from control_plane.index import Index
from control_plane.resources.manifest import Manifest, key_of, section
from control_plane.snapshot import SHORT_NAMES, Snapshot
from control_plane.translate.settings import Client, Node
from control_plane.translate.translator import Translator
from meshproxy.xds.translate import translate
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

NAMES = ("a", "b", "c")
NAMESPACES = ("shop", "other")
CATALOG: Manifest = {"group": "", "kind": "Service", "name": "catalog", "namespace": "shop"}
PATHS = ("/", "/x", "/x/", "/x/y", "/longer/path")
names, namespaces = st.sampled_from(NAMES), st.sampled_from(NAMESPACES)
created = st.sampled_from((build.EARLY, build.LATE))
port_numbers = st.sampled_from((8080, 9000, 3306))


@st.composite
def services(draw: st.DrawFn) -> Manifest:
    chosen = draw(st.lists(port_numbers, min_size=1, max_size=3, unique=True))
    kinds = st.sampled_from(("http", "tcp", "x"))
    ports = [{"name": f"{draw(kinds)}-{number}", "port": number} for number in chosen]
    name, namespace = draw(names), draw(namespaces)
    address = f"10.96.{NAMESPACES.index(namespace)}.{NAMES.index(name) + 1}"
    vip = draw(st.sampled_from((address, "None")))
    return build.service(
        name, *ports, namespace=namespace, vip=vip, created=draw(created), selector={"app": "a"}
    )


@st.composite
def pods(draw: st.DrawFn) -> Manifest:
    name, namespace = draw(names), draw(namespaces)
    return build.pod(
        name, app=draw(names), namespace=namespace, account=draw(names), meshed=draw(st.booleans())
    )


@st.composite
def slices(draw: st.DrawFn) -> Manifest:
    ready = st.booleans()
    endpoints = [
        build.endpoint(f"10.244.0.{n}", draw(names), ready=draw(ready))
        for n in range(draw(st.integers(0, 3)))
    ]
    ports = [("http-8080", 8080), ("x-9000", 9000), ("tcp-3306", 3306)]
    name = draw(names)
    return build.endpoint_slice(name, *endpoints, name=draw(names), namespace=draw(namespaces), ports=ports)


@st.composite
def routes(draw: st.DrawFn) -> Manifest:
    kinds = st.sampled_from(("Exact", "PathPrefix"))
    matches = st.lists(st.tuples(kinds, st.sampled_from(PATHS)), max_size=3)
    backends = st.builds(
        build.backend,
        names,
        port=port_numbers,
        weight=st.integers(0, 3),
        namespace=st.sampled_from(("", *NAMESPACES)),
    )
    rules = [
        build.rule(*one, paths=paths)
        for one, paths in draw(
            st.lists(st.tuples(st.lists(backends, max_size=3), matches), min_size=1, max_size=3)
        )
    ]
    port = draw(st.one_of(st.none(), port_numbers))
    return build.route(
        draw(names),
        *rules,
        parent=draw(names),
        parent_namespace=draw(namespaces),
        port=port,
        namespace=draw(namespaces),
        created=draw(created),
    )


resources = st.lists(st.one_of(services(), pods(), slices(), routes()), max_size=14, unique_by=key_of)
nodes = st.builds(
    lambda name, namespace, envoy: Node(ObjectName(namespace, name), Client(namespace, envoy)),
    names,
    namespaces,
    st.booleans(),
)


def _shuffled(manifests: list[Manifest], random: Random) -> list[Manifest]:
    return random.sample(manifests, len(manifests))


def _versions(snapshot: Snapshot) -> list[str]:
    return [snapshot.version(type_url) for type_url in SHORT_NAMES]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(resources, nodes)
def test_any_set_of_resources_is_consistent_and_accepted_by_the_sidecar(
    manifests: list[Manifest], node: Node
) -> None:
    index = Index()
    for manifest in manifests:
        index.apply(manifest)
    snapshot = Translator(index.registry, mesh.PERMISSIVE).snapshot(node)
    assert snapshot.problems() == []
    if not node.client.is_envoy:
        for type_url, by_name in snapshot.resources.items():
            translate(type_url, [resource.body for resource in by_name.values()])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(resources, nodes, st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(manifests: list[Manifest], node: Node, random: Random) -> None:
    first, second = Index(), Index()
    for manifest, other in zip(manifests, _shuffled(manifests, random), strict=True):
        first.apply(manifest)
        second.apply(other)
    translators = [Translator(index.registry, mesh.STRICT) for index in (first, second)]
    assert _versions(translators[0].snapshot(node)) == _versions(translators[1].snapshot(node))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(resources, resources, nodes)
def test_changing_and_taking_back_ends_where_it_began_and_nobody_is_missed(
    manifests: list[Manifest], changes: list[Manifest], node: Node
) -> None:
    index = Index()
    for manifest in manifests:
        index.apply(manifest)
    translator = Translator(index.registry, mesh.STRICT)
    begin = current = _versions(translator.snapshot(node))
    before = {key_of(manifest): manifest for manifest in manifests}

    def check(is_affected: bool) -> None:
        nonlocal current
        now = _versions(translator.snapshot(node))
        assert is_affected or now == current, "a sidecar's configuration changed and it was not told"
        current = now

    for change in changes:
        check(index.apply(change).affected.includes(node.pod))
    for change in changes:
        key = key_of(change)
        undone = index.apply(before[key]) if key in before else index.delete(*key)
        check(undone.affected.includes(node.pod))
    assert current == begin


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(routes(), min_size=1, max_size=5, unique_by=key_of), st.randoms(use_true_random=False))
def test_precedence_does_not_depend_on_arrival_and_never_puts_a_shorter_prefix_first(
    manifests: list[Manifest], random: Random
) -> None:
    def table(ordered: list[Manifest]) -> list[tuple[str, str, str]]:
        """(name, kind of match, path) in the order in which they are tried."""
        index = mesh.shop()
        for manifest in ordered:
            index.apply({**manifest, "spec": {**section(manifest, "spec"), "parentRefs": [CATALOG]}})
        host = mesh.virtual_host(mesh.translate(index), "catalog.shop")
        kinds = [route.match.WhichOneof("path_specifier") or "" for route in host.routes]
        return [
            (route.name, kind, getattr(route.match, kind))
            for route, kind in zip(host.routes, kinds, strict=True)
        ]

    first = table(manifests)
    assert first == table(_shuffled(manifests, random))
    kinds = [kind for _, kind, _ in first]
    assert kinds == sorted(kinds, key=lambda kind: kind != "path"), "exact matches come first"
    lengths = [len(path.rstrip("/")) for _, kind, path in first if kind != "path"]
    assert lengths == sorted(lengths, reverse=True)
