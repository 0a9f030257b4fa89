"""What was measured, as a table (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

_COLUMNS = ("cpu_ms", "wall_ms", "others_wait_ms", "stall_ms", "rss_mb", "size_mb")


@dataclass(slots=True)
class Figures:
    """Rows in the order in which they were measured; what a row does not have stays empty."""

    rows: list[tuple[str, dict[str, float]]] = field(default_factory=list)

    def add(self, what: str, **values: float) -> None:
        """Raises ValueError for a column that does not exist."""
        if unknown := sorted(set(values) - set(_COLUMNS)):
            raise ValueError(f"{', '.join(unknown)}: columns are {', '.join(_COLUMNS)}")
        self.rows.append((what, values))
        print(self.row(what, values), flush=True)

    def markdown(self) -> str:
        head = f"| what | {' | '.join(name.replace('_', ' ') for name in _COLUMNS)} |"
        return "\n".join([head, "| --- " * (len(_COLUMNS) + 1) + "|", *(self.row(*row) for row in self.rows)])

    @staticmethod
    def row(what: str, values: dict[str, float]) -> str:
        """One line of the table."""
        cells = (f"{values[name]:,.1f}" if name in values else "" for name in _COLUMNS)
        return f"| {what} | {' | '.join(cells)} |"
