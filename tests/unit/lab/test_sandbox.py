"""Which mounts make the interpreter and the sources reachable for another user."""

from pathlib import Path

from lab.launch import Mount
from lab.sandbox import runtime_samples, unreadable_by_others, view_mounts


def view(needed: list[str], closed: set[str], children: dict[str, list[str]] | None = None) -> list[Mount]:
    return view_mounts(needed, closed.__contains__, lambda path: (children or {})[path])


def bound(path: str) -> Mount:
    return Mount(path, path)


def test_paths_everybody_can_reach_need_nothing() -> None:
    assert view(["/usr", "/opt/clone"], set()) == []


def test_a_closed_ancestor_is_replaced_by_an_empty_one_that_holds_what_is_needed() -> None:
    assert view(["/root/.pyenv/3.11", "/root/clone"], {"/root"}) == [
        Mount("/root"),
        bound("/root/.pyenv/3.11"),
        bound("/root/clone"),
    ]


def test_what_lies_in_a_bound_directory_is_not_bound_again() -> None:
    assert view(["/root/clone", "/root/clone/.venv"], {"/root"}) == [Mount("/root"), bound("/root/clone")]


def test_a_directory_that_is_closed_itself_is_shown_through_its_entries() -> None:
    mounts = view(
        ["/home/me/clone", "/home/me/clone/.venv"], {"/home/me/clone"}, {"/home/me/clone": ["lab", ".venv"]}
    )
    assert mounts == [Mount("/home/me/clone"), bound("/home/me/clone/.venv"), bound("/home/me/clone/lab")]


def test_closed_directories_below_one_another_are_each_replaced() -> None:
    assert view(["/root/a/clone"], {"/root", "/root/a"}) == [
        Mount("/root"),
        Mount("/root/a"),
        bound("/root/a/clone"),
    ]


def test_a_closed_directory_inside_a_bound_one_is_opened() -> None:
    mounts = view(["/root/c", "/root/c/.venv"], {"/root", "/root/c/.venv"}, {"/root/c/.venv": ["bin"]})
    assert mounts == [Mount("/root"), bound("/root/c"), Mount("/root/c/.venv"), bound("/root/c/.venv/bin")]


def test_what_lies_in_a_directory_containers_have_of_their_own_is_bound_back() -> None:
    assert view(["/tmp/clone", "/run/x"], set()) == [bound("/run/x"), bound("/tmp/clone")]


def test_files_others_may_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "open").write_text("")
    (tmp_path / "closed").write_text("")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "closed").chmod(0o600)
    (tmp_path / "folder").mkdir(mode=0o744)
    paths = [str(tmp_path / name) for name in ("open", "closed", "folder", "absent")]
    assert unreadable_by_others(paths) == paths[1:3]
    assert unreadable_by_others(runtime_samples()) == []
