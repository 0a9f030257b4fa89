"""What a dashboard is made of (pure): variables, and rows of panels with their queries."""

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """What a panel's numbers are; the value is Grafana's word for it."""

    COUNT = "short"
    PER_SECOND = "reqps"
    OPERATIONS = "ops"
    SHARE = "percentunit"
    """From 0 to 1."""
    MILLISECONDS = "ms"
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    CORES = "none"


class Shape(Enum):
    """How a panel draws; the value is Grafana's plugin."""

    LINES = "timeseries"
    NUMBER = "stat"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; `$__rate_interval` and the dashboard's variables stand in it."""

    expression: str
    legend: str = ""
    """Grafana's template: `{{label}}`."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    title: str
    """Unique in its dashboard."""
    tells: str
    """What it means and what to do about it; Grafana shows it behind an `i`."""
    unit: Unit
    queries: tuple[Query, ...]
    shape: Shape = Shape.LINES


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard."""

    name: str
    metric: str
    """A selector whose series have the label."""
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One file."""

    uid: str
    """Stable: links and bookmarks hold it. The file's name, too."""
    title: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    def __post_init__(self) -> None:
        titles = [panel.title for panel in self.panels]
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f"dashboard {self.uid}: more than one panel is called {', '.join(twice)}")

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Of all rows."""
        return tuple(panel for row in self.rows for panel in row.panels)
