"""A plan names every file of a tree: what is indexed, under which ids, and why a file is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.knowledge.chunks import FILE_BYTES_MAX, LeftOut, Plan, Planned, plan_file

TREE = {"src/lib.rs": b"fn a() {}\n", "README.md": b"# Read\n", "src/bin.rs": b"fn main() {}\n"}


def planned(tree: dict[str, bytes]) -> Plan:
    return Plan(plan_file(path, data) for path, data in tree.items())


def test_ids_count_the_chunks_by_sorted_path() -> None:
    plan = planned(TREE)
    assert [ident for ident, _ in plan.ids()] == ["README.md::0", "src/bin.rs::1", "src/lib.rs::2"]
    assert len(plan) == 3
    for number, (ident, chunk) in enumerate(plan.ids()):
        file, found = plan.chunk(number)
        assert (f"{file.path}::{number}", found) == (ident, chunk)
    for number in (-1, 3):
        with pytest.raises(IndexError):
            plan.chunk(number)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\0b", "it is binary: it holds a byte of zero"),
        (b"abc\xff", "it is not UTF-8 at byte 3"),
        (b"a" * (FILE_BYTES_MAX + 1), f"it has more than {FILE_BYTES_MAX} bytes"),
    ],
)
def test_a_file_that_is_not_indexed_is_named(data: bytes, why: str) -> None:
    plan = planned(TREE | {"odd": data})
    assert plan.left_out == [LeftOut("odd", why)]
    assert [one.path for one in plan.files] == ["README.md", "src/bin.rs", "src/lib.rs"]


def test_the_largest_file_is_indexed() -> None:
    assert isinstance(plan_file("a.txt", b"a" * FILE_BYTES_MAX), Planned)


@given(
    st.dictionaries(st.sampled_from(["a.py", "b/a.md", "é.txt", "z"]), st.binary(max_size=60)),
    st.binary(max_size=60),
)
def test_a_file_that_changed_is_planned_by_itself(tree: dict[str, bytes], data: bytes) -> None:
    after = tree | {"b/a.md": data}
    changed = planned(tree).with_file(plan_file("b/a.md", data))
    assert list(changed.ids()) == list(planned(after).ids())
    assert changed.left_out == planned(after).left_out
    gone = changed.without("b/a.md")
    assert list(gone.ids()) == list(
        planned({path: data for path, data in after.items() if path != "b/a.md"}).ids()
    )
