"""One line of the report: what is claimed, what was measured, and whether it held (pure)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim and its evidence."""

    claim: str
    measured: tuple[str, ...]
    held: bool


@dataclass(slots=True)
class Evidence:
    """Collects what was measured for a claim."""

    claim: str
    _measured: list[str] = field(default_factory=list)
    _held: bool = True

    def note(self, text: str) -> None:
        """A measurement that proves nothing by itself."""
        self._measured.append(text)

    def expect(self, condition: bool, text: str) -> None:
        """A measurement that must satisfy `condition`."""
        self._measured.append(text if condition else f"NOT HELD: {text}")
        self._held = self._held and condition

    def finding(self) -> Finding:
        """The result."""
        return Finding(self.claim, tuple(self._measured), self._held)
