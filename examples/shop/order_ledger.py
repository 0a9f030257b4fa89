"""Which orders a server has processed, and how often: the proof that none was processed twice."""

import os
from collections import Counter
from pathlib import Path


class OrderLedger:
    """Counts order ids. With a file it also survives a `kill -9` of the process: one line per order."""

    def __init__(self, path: Path | None = None) -> None:
        """Read what an earlier process has written to `path`."""
        self._counts: Counter[str] = Counter()
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            with open(path) as lines:
                self._counts.update(line.rstrip("\n") for line in lines)

    def record(self, order: str) -> int:
        """The order was processed; how often by now. In the file before this returns."""
        if "\n" in order or not order:
            raise ValueError(f"order id {order!r}: one non-empty line")
        if self._file is not None:
            os.write(self._file, f"{order}\n".encode())
        self._counts[order] += 1
        return self._counts[order]

    def counts(self) -> dict[str, int]:
        """By order id."""
        return dict(self._counts)
