"""What `meshctl get` shows of each kind (pure): kubectl's tables, and of routes what became of them."""

from collections.abc import Iterable, Sequence

from control_plane.apiserver.table.document import SHAPES
from control_plane.apiserver.table.shape import Shape, columns
from control_plane.resources.grpc_route import GrpcRoute
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.manifest import Manifest, namespace_of

_SHOWN = 3
"""Members of a list that fit into a cell."""


def table(
    kind: str, items: Sequence[Manifest], now: float, *, wide: bool, namespaces: bool
) -> list[list[str]]:
    """The title row and one row an object. `now`: seconds since the epoch."""
    shape = _ROUTES.get(kind) or SHAPES.get(kind, _PLAIN)
    definitions = shape.definitions()
    shown = [number for number, column in enumerate(definitions) if wide or not column["priority"]]
    rows = [["NAMESPACE"] if namespaces else []]
    rows[0] += [str(definitions[number]["name"]).upper() for number in shown]
    for item in items:
        cells = shape.row(item, now)
        where = [namespace_of(item)] if namespaces else []
        rows.append([*where, *(str(cells[number]) for number in shown)])
    return rows


def _some(values: Iterable[str]) -> str:
    found = list(values)
    more = f" + {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ",".join(found[:_SHOWN]) + more or "<none>"


def _route(item: Manifest, now: float) -> Sequence[str]:
    route = GrpcRoute.read(item) if item.get("kind") == GrpcRoute.KIND else HttpRoute.read(item)
    backends = _some(f"{ref.name}:{ref.weight}" for rule in route.spec.rules for ref in rule.backend_refs)
    conditions = [condition for parent in route.status.parents for condition in parent.conditions]
    verdicts: dict[str, str] = {}
    for condition in conditions:
        is_worse = verdicts.get(condition.type) == "False"
        verdicts[condition.type] = "False" if is_worse else condition.status
    problems = [condition.message for condition in conditions if condition.status != "True"]
    return [
        _some(ref.name for ref in route.spec.parent_refs),
        backends,
        verdicts.get("Accepted", "Unknown"),
        verdicts.get("ResolvedRefs", "Unknown"),
        "; ".join(dict.fromkeys(problems)),
    ]


_PLAIN = Shape((), lambda item, now: ())
_ROUTE = Shape(columns("Parents", "Backends", "Accepted", "Resolved"), _route, columns("Problem", priority=1))
_ROUTES = {"HTTPRoute": _ROUTE, "GRPCRoute": _ROUTE}
