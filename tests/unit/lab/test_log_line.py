"""Lines of container logs, and what a reader gets to see of them."""

from lab.log_line import LONGEST_LINE, LineSplitter, LogQuery, limited, log_time, shown_line, tail_of

EARLY, LATE = "2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:09.000000000Z"


def line(text: str, time: str = EARLY, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"{time} {stream} {tag} {text}".encode()


def test_times_have_nine_digits() -> None:
    assert log_time(1_700_000_000_000_000_042) == "2023-11-14T22:13:20.000000042Z"


def test_what_is_written_in_pieces_becomes_whole_lines() -> None:
    splitter = LineSplitter("stderr")
    assert splitter.feed(b"a", "t1") == b""
    assert splitter.feed(b"b\n\nc", "t2") == b"t2 stderr F ab\nt2 stderr F \n"
    assert splitter.end("t3") == b"t3 stderr F c\n"
    assert splitter.end("t4") == b""


def test_long_lines_are_split_and_marked() -> None:
    splitter = LineSplitter("stdout")
    whole = splitter.feed(b"x" * (LONGEST_LINE + 1) + b"\n", "t").splitlines()
    assert [one.split(b" ")[2] for one in whole] == [b"P", b"F"]
    begun = splitter.feed(b"y" * (LONGEST_LINE + 1), "t")
    assert begun.startswith(b"t stdout P y")
    assert splitter.end("t") == b"t stdout F y\n"


def test_a_reader_sees_text_and_times_when_it_asks_for_them() -> None:
    assert shown_line(line("a b"), LogQuery()) == b"a b\n"
    assert shown_line(line("a b", tag="P"), LogQuery()) == b"a b"
    assert shown_line(line("a"), LogQuery(timestamps=True)) == f"{EARLY} a\n".encode()


def test_a_reader_may_leave_out_streams_and_what_is_old() -> None:
    assert shown_line(line("a"), LogQuery(stream="Stderr")) == b""
    assert shown_line(line("a", stream="stderr"), LogQuery(stream="Stderr")) == b"a\n"
    assert shown_line(line("a"), LogQuery(since="2026-01-01T00:00:05Z")) == b""
    assert shown_line(line("a", LATE), LogQuery(since="2026-01-01T00:00:05Z")) == b"a\n"
    assert shown_line(b"half", LogQuery()) == b""


def test_the_tail_counts_full_lines() -> None:
    lines = [line("1"), line("2", tag="P"), line("2"), line("3")]
    assert tail_of(lines, None) == lines
    assert tail_of(lines, 2) == lines[1:]
    assert tail_of(lines, 1) == lines[3:]
    assert tail_of(lines, 3) == lines
    assert tail_of(lines, 9) == lines
    assert tail_of(lines, 0) == []
    assert tail_of([b"x"], 1) == [b"x"]


def test_bytes_are_limited() -> None:
    assert list(limited([b"abc", b"def", b"ghi"], 4)) == [b"abc", b"d"]
    assert list(limited([b"abc", b"def"], 3)) == [b"abc"]
    assert list(limited([b"abc"], None)) == [b"abc"]
