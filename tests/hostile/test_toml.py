"""A small TOML file can't take the memory of the machine: `tomllib` takes it with the square of a key's parts."""

from __future__ import annotations

import resource

import pytest

from assent.errors import InputError
from assent.spec.documents.toml import KEY_PARTS_MAX, parse_toml

SHAPES = [
    "{} = 1",
    "[{}]\nx = 1",
    "[[{}]]\nx = 1",
    "x = {{{} = 1}}",
    "x = {{y = 1, {} = 1}}",
    "ok = 1\n  {} = 1",
]


def key(parts: int, word: str, dot: str) -> str:
    return dot.join([word] * parts)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("word", ["a", '"a.b"', "'a'"])
@pytest.mark.parametrize("dot", [".", " . "])
def test_a_key_of_many_parts_is_refused_where_it_stands_and_one_of_few_is_read(
    shape: str, word: str, dot: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="parts") as refused:
        parse_toml(shape.format(key(20_000, word, dot)).encode(), "f", code="TOML_INVALID")
    assert str(refused.value.path) == f"f:{_place(shape)}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"
    parse_toml(shape.format(key(KEY_PARTS_MAX, word, dot)).encode(), "f", code="TOML_INVALID")


def test_text_with_many_dots_is_text() -> None:
    text = "a." * 1000
    found, _ = parse_toml(f'x = "{text}"\ny = ["{text}", 1]'.encode(), "f", code="TOML_INVALID")
    assert found == {"x": text, "y": [text, 1]}


def _place(shape: str) -> str:
    before = shape.format("\0").partition("\0")[0]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
