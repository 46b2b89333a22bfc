"""A text is cut where its reader would cut it, the same everywhere, and nothing of it is lost."""

import json
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assent.knowledge.chunks import (
    CHUNK_BYTES_MAX,
    FILE_BYTES_MAX,
    LeftOut,
    Planned,
    chunks_of,
    language_of,
    plan_file,
)

ENDINGS = [".py", ".js", ".ts", ".tsx", ".go", ".rs", ".java", ".c", ".md", ".txt"]

PYTHON = """\
import a

# about f
@decorated
def f():
    pass

class K(Base):
    x = 1
    def m(self):
        def inner(): pass
    class N:
        def z(self): pass
if a:
    def g(): pass
"""
TYPESCRIPT = """\
export interface I { a: string }
type T = string;
enum E { A }
abstract class Q { abstract m(): void;
  n(): void {} }
namespace N {
  export function f() {}
}
const arrow = (x: number) => x;
"""
JAVASCRIPT = """\
import a from 'b';
/** about f */
export function f() {}
export default class K {
  m() {}
  get x() { return 1 }
}
const g = async (a) => { return 1 };
let plain = 1;
module.exports.h = function () {};
"""
GO = """\
package x

// about A
// and more
func A() {}

type T struct { a int }

func (t *T) M() int { return 1 }
"""
RUST = """\
use a::b; // not about S
#[derive(X)]
pub struct S { a: u8 }
impl S {
    /// about new
    pub fn new() -> S {}
}
mod m {
    fn z() {}
}
"""
JAVA = """\
package a;

/** about K */
@X public class K { int a;
  public K() {}
  void m() {}
  enum E { A, B }
}
"""
C = """\
#include <x.h>

/* about f */
static int *f(int a) { return 0; }
struct s { int a; };
typedef struct { int b; } t;
#ifdef X
int g(void) { return 1; }
#endif
"""
MARKDOWN = """\
before
# One
text
## Two
```
# no heading
```
Three
=====
x

- an item
---
"""


def cut(path: str, text: str) -> list[tuple[str, int, int]]:
    return [(one.symbol, one.line, one.end_line) for one in chunks_of(path, text.encode())]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "a.py",
            PYTHON,
            [
                ("", 1, 2),
                ("f", 3, 7),
                ("K", 8, 9),
                ("K.m", 10, 11),
                ("K.N", 12, 12),
                ("K.N.z", 13, 13),
                ("", 14, 14),
                ("g", 15, 15),
            ],
        ),
        (
            "a.ts",
            TYPESCRIPT,
            [
                ("I", 1, 1),
                ("T", 2, 2),
                ("E", 3, 3),
                ("Q", 4, 4),
                ("Q.n", 5, 5),
                ("N", 6, 6),
                ("N.f", 7, 8),
                ("arrow", 9, 9),
            ],
        ),
        ("a.tsx", "const A = () => <b>x</b>;\n", [("A", 1, 1)]),
        (
            "a.js",
            JAVASCRIPT,
            [
                ("", 1, 1),
                ("f", 2, 3),
                ("K", 4, 4),
                ("K.m", 5, 5),
                ("K.x", 6, 7),
                ("g", 8, 8),
                ("", 9, 9),
                ("module.exports.h", 10, 10),
            ],
        ),
        ("a.go", GO, [("", 1, 2), ("A", 3, 6), ("T", 7, 8), ("T.M", 9, 9)]),
        ("a.rs", RUST, [("", 1, 1), ("S", 2, 3), ("S", 4, 4), ("S.new", 5, 7), ("m", 8, 8), ("m.z", 9, 10)]),
        ("a.java", JAVA, [("", 1, 2), ("K", 3, 4), ("K.K", 5, 5), ("K.m", 6, 6), ("K.E", 7, 8)]),
        (
            "a.c",
            C,
            [("", 1, 2), ("f", 3, 4), ("s", 5, 5), ("t", 6, 6), ("", 7, 7), ("g", 8, 8), ("", 9, 9)],
        ),
        ("A.MD", MARKDOWN, [("", 1, 1), ("One", 2, 3), ("One > Two", 4, 7), ("Three", 8, 13)]),
        ("a.txt", "all\nof\nit\n", [("", 1, 3)]),
        ("empty.py", "", []),
        ("blank.py", "\n\n", [("", 1, 2)]),
    ],
)
def test_each_language_is_cut_where_something_is_defined(
    path: str, text: str, expected: list[tuple[str, int, int]]
) -> None:
    assert cut(path, text) == expected


def test_a_definition_that_is_too_long_is_looked_into() -> None:
    body = "".join(f"    step_{n} = {n}\n" for n in range(100))
    text = f"def outer():\n{body}    def inner():\n        pass\n    return inner\n"
    found = cut("a.py", text)
    assert [name for name, _, _ in found].count("outer.inner") == 1
    assert found[-1][0] == "outer"


def test_two_definitions_in_one_line_are_one_chunk() -> None:
    assert cut("a.js", "function f() {} function g() {}\n") == [("f", 1, 1)]


def test_a_long_text_ends_at_empty_lines_then_lines_then_characters() -> None:
    paragraph = "word " * 180
    paragraphs = chunks_of("a.txt", f"{paragraph}\n\n{paragraph}\n".encode())
    assert [(one.line, one.end_line) for one in paragraphs] == [(1, 2), (3, 3)]
    lines = chunks_of("a.txt", ("line of text\n" * 200).encode())
    assert all(one.end % 13 == 0 for one in lines)
    wide = ("€" * 1_000).encode()
    for one in chunks_of("a.txt", wide):
        wide[one.begin : one.end].decode()


def test_a_heading_is_cut_to_its_limit() -> None:
    (found,) = chunks_of("a.md", b"# " + b"long " * 200)
    assert len(found.symbol) == 256


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("text", [b"(" * 300_000, b"[{" * 100_000, b"\"'`" * 20_000, b"a?b:" * 20_000])
def test_a_hostile_text_is_cut_in_time(ending: str, text: bytes) -> None:
    found = chunks_of(f"a{ending}", text)
    assert sum(one.end - one.begin for one in found) == len(text)


def test_a_very_large_source_is_cut_as_text() -> None:
    found = chunks_of("a.py", b"def f():\n    pass\n" * 80_000)
    assert {one.symbol for one in found} == {""}


PIECES = st.sampled_from([PYTHON, TYPESCRIPT, JAVASCRIPT, GO, RUST, JAVA, C, MARKDOWN]).flatmap(
    lambda text: st.sampled_from(text.splitlines(keepends=True))
)


@given(
    st.sampled_from(ENDINGS),
    st.lists(PIECES | st.text(max_size=40) | st.sampled_from(["\n", "\r\n", "}\n", "x" * 900, "€" * 700])),
)
@example(".md", ["x" * 2_000])
def test_the_chunks_of_a_text_are_the_text_again(ending: str, parts: list[str]) -> None:
    data = "".join(parts).encode()
    found = chunks_of(f"a{ending}", data)
    assert b"".join(data[one.begin : one.end] for one in found) == data
    assert found == chunks_of(f"a{ending}", data)
    for one in found:
        piece = data[one.begin : one.end]
        assert 0 < len(piece) <= CHUNK_BYTES_MAX
        assert one.digest == sha256(piece).hexdigest()
        assert one.line == 1 + data.count(b"\n", 0, one.begin)
        assert one.end_line == max(one.line, 1 + data.count(b"\n", 0, one.end - 1))
        piece.decode()


def test_languages_go_by_the_ending() -> None:
    assert [language_of(path) for path in ("a/b.PY", "b.tsx", "README.md", "Makefile", "c.unknown")] == [
        "python",
        "tsx",
        "markdown",
        "text",
        "text",
    ]


def test_the_definitions_of_a_real_project_are_found(samples: Path) -> None:
    """Those that the questions about celery ask for, by file, name and line."""
    folder = samples / "knowledge"
    asked = [json.loads(line) for line in (folder / "celery.jsonl").read_text().splitlines()]
    wanted = [one["target"][0].partition("::") for one in asked if one["task"] == "doc"]
    with tarfile.open(folder / "celery-5dc781f0bd5f.tar.xz") as archive:
        texts = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
        sources = {path: file.read() for path, file in texts.items() if file is not None}
    for path, _, place in wanted:
        name, _, line = place.partition(":")
        (chunk,) = [one for one in chunks_of(path, sources[path]) if one.line <= int(line) <= one.end_line]
        assert f"def {name}(".encode() in sources[path][chunk.begin : chunk.end]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\0b", "it is binary: it holds a byte of zero"),
        (b"abc\xff", "it is not UTF-8 at byte 3"),
        (b"a" * (FILE_BYTES_MAX + 1), f"it has more than {FILE_BYTES_MAX} bytes"),
    ],
)
def test_a_file_that_is_not_indexed_is_named(data: bytes, why: str) -> None:
    assert plan_file("odd", data) == LeftOut("odd", why)


def test_the_largest_file_is_indexed() -> None:
    assert isinstance(plan_file("a.txt", b"a" * FILE_BYTES_MAX), Planned)
