"""The findings, for people and for programs (pure)."""

from collections.abc import Sequence

from meshctl.diagnose.finding import Finding, Layer, State
from meshctl.diagnose.question import Question
from meshctl.diagnose.walk import cause
from meshctl.json_value import JsonObject
from meshctl.text_table import table_lines

_MARKS = {State.OK: "ok", State.FAULT: "FAULT", State.UNSEEN: "?", State.ABSENT: "-"}
_NOT_REACHED = "not looked at: it rests on what fails"


def text_lines(question: Question, findings: Sequence[Finding]) -> list[str]:
    """A line a layer, then what is wrong and how it is mended. What pods say cannot steer the terminal."""
    return [_printable(line) for line in _lines(question, findings)]


def _lines(question: Question, findings: Sequence[Finding]) -> list[str]:
    rows = [list(_row(layer, findings)) for layer in Layer]
    lines = [str(question), *(f"  {line}" for line in table_lines(rows)), ""]
    found = cause(findings)
    if found is None:
        unseen = [one.layer.value for one in findings if one.state is State.UNSEEN]
        lines.append("No fault found.")
        if unseen:
            lines.append(f"Not looked at, so not judged: {', '.join(unseen)}.")
        notes = [note for one in findings for note in one.evidence if note]
        return lines + [f"  worth knowing: {note}" for note in notes]
    lines.append(f"{found.layer.value}: {found.what}")
    lines += [f"  {line}" for line in found.evidence]
    lines.append(f"mend: {found.mend}")
    if found.advice:
        lines.append(f"      ({found.advice})")
    return lines


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in line)


def _row(layer: Layer, findings: Sequence[Finding]) -> tuple[str, str, str]:
    for found in findings:
        if found.layer is layer:
            return (
                layer.value,
                _MARKS[found.state],
                found.what if found.state is not State.FAULT else "see below",
            )
    return layer.value, "", _NOT_REACHED


def document(question: Question, findings: Sequence[Finding]) -> JsonObject:
    """For `-o json`: `healthy` is true when no fault was found, `cause` is the fault."""
    found = cause(findings)
    return {
        "question": str(question),
        "healthy": found is None,
        "cause": None if found is None else _object(found),
        "layers": [_object(one) for one in findings],
    }


def _object(found: Finding) -> JsonObject:
    return {
        "layer": found.layer.value,
        "state": found.state.value,
        "what": found.what,
        "evidence": [line for line in found.evidence if line],
        "mend": found.mend,
        "advice": found.advice,
    }
