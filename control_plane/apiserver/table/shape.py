"""What a table of one kind shows (pure): its columns, and the cells of an object."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from control_plane.resources.manifest import Manifest, metadata, section

NONE = "<none>"
UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400
_SHOWN_OF_LIST = 3

Cell = str | int
CellsOf = Callable[[Manifest, float], Sequence[Cell]]
"""An object and the time now (seconds since the epoch) → one cell for each column."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; those of priority 1 are shown with `-o wide` only."""

    name: str
    priority: int = 0
    type: str = "string"

    def definition(self) -> Manifest:
        """As it travels."""
        is_name = {"format": "name"} if self.name == "Name" else {"format": ""}
        return {"name": self.name, "type": self.type, **is_name, "description": "", "priority": self.priority}


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a kind between Name and Age, which all have, and their cells."""

    columns: tuple[Column, ...]
    cells: CellsOf
    wide: tuple[Column, ...] = ()
    """Columns after Age. `cells` gives theirs last."""
    has_name: bool = True
    """False when `columns` are all there is."""

    def definitions(self) -> list[Manifest]:
        return [column.definition() for column in self._all()]

    def _all(self) -> Sequence[Column]:
        if not self.has_name:
            return (*self.columns, *self.wide)
        return (Column("Name"), *self.columns, Column("Age"), *self.wide)

    def row(self, manifest: Manifest, now: float) -> list[Cell]:
        """The cells of one object."""
        cells = [*self.cells(manifest, now)]
        if not self.has_name:
            return cells
        narrow = len(self.columns)
        meta = metadata(manifest)
        age = since(meta.get("creationTimestamp"), now)
        return [str(meta.get("name", "")), *cells[:narrow], age, *cells[narrow:]]


def columns(*names: str, priority: int = 0) -> tuple[Column, ...]:
    """Text columns."""
    return tuple(Column(name, priority) for name in names)


def seconds_of(timestamp: object) -> float | None:
    """RFC 3339, with or without a fraction, as seconds since the epoch; None for anything else."""
    if not isinstance(timestamp, str) or not timestamp:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None


def since(timestamp: object, now: float) -> str:
    """How long ago, as kubectl users read it."""
    then = seconds_of(timestamp)
    return UNKNOWN if then is None else human_duration(now - then)


def human_duration(seconds: float) -> str:
    """`93784` → `26h`: at most two units, fewer the longer it is (Kubernetes' `HumanDuration`)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(whole, 0)}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(seconds: int, big: int, big_name: str, small: int, small_name: str) -> str:
    rest = seconds % big // small
    return f"{seconds // big}{big_name}" + (f"{rest}{small_name}" if rest else "")


def text(values: Mapping[str, object], field: str, default: str = "") -> str:
    """A field as text; `default` when it is absent or empty."""
    value = values.get(field)
    return default if value is None or value == "" else str(value)


def number(values: Mapping[str, object], field: str) -> int:
    """A field as a number; 0 when it is absent."""
    value = values.get(field)
    return value if isinstance(value, int) else 0


def joined(values: Iterable[object], separator: str = ",") -> str:
    """A list; `<none>` when it is empty."""
    return separator.join(map(str, values)) or NONE


def pairs(labels: Mapping[str, object]) -> str:
    """`a=b,c=d` in order of keys; `<none>` when there are none."""
    return joined(f"{key}={labels[key]}" for key in sorted(labels))


def some(values: Sequence[object], none: str = "<unset>") -> str:
    """The first three, and how many more there are."""
    if not values:
        return none
    more = f" + {len(values) - _SHOWN_OF_LIST} more..." if len(values) > _SHOWN_OF_LIST else ""
    return ",".join(map(str, values[:_SHOWN_OF_LIST])) + more


def condition(status: Mapping[str, object], kind: str) -> dict[str, object]:
    """The condition of a type; empty when there is none."""
    found = status.get("conditions")
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict) and one.get("type") == kind:
            return one
    return {}


def selector_text(spec: Mapping[str, object]) -> str:
    """`spec.selector` of a workload, labels and expressions."""
    selector = section(spec, "selector")
    terms = [f"{key}={value}" for key, value in sorted(section(selector, "matchLabels").items())]
    expressions = selector.get("matchExpressions")
    for one in expressions if isinstance(expressions, list) else []:
        terms.append(_expression(one))
    return joined(terms)


def _expression(one: Mapping[str, object]) -> str:
    values = one.get("values")
    listed = ",".join(map(str, values)) if isinstance(values, list) else ""
    match one.get("operator"):
        case "Exists":
            return str(one.get("key"))
        case "DoesNotExist":
            return f"!{one.get('key')}"
        case operator:
            return f"{one.get('key')} {str(operator).lower()} ({listed})"
