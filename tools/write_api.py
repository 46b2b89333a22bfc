"""Writes the page of the Python API, from the signatures and docstrings of what a program gets.

    python -m tools.write_api [--check]

`--check` writes nothing and ends with 1 when the page says something else.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from assent import AssentError, LocalContext, Runtime, capability
from assent.client import Client, Connecting, Deferred, connect
from assent.runtime import CallResult, RunResult, Session, StepResult

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "api.md"

HEAD: Final = """\
# The Python API

<!-- Written by `python -m tools.write_api`. -->

What a program imports, as its docstrings have it. `assent.sync` has the same names without an event loop. [The
application](application.md) tells what calls share, and each refusal is an `AssentError` with one of [these codes](errors.md).
"""

PARTS: Final = (
    ("Runtime", Runtime),
    ("connect", connect),
    ("Connecting", Connecting),
    ("Client", Client),
    ("Deferred", Deferred),
    ("Session", Session),
    ("CallResult", CallResult),
    ("RunResult", RunResult),
    ("StepResult", StepResult),
    ("@capability", capability),
    ("LocalContext", LocalContext),
    ("AssentError", AssentError),
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(part(name, one) for name, one in PARTS)]).rstrip() + "\n"


def part(name: str, source: type | object) -> str:
    """A class with what it offers, or one function."""
    lines = [f"## {name}\n", paragraphs(source)]
    if not inspect.isclass(source):
        lines.insert(1, signature(name.removeprefix("@"), source))
        return "\n".join(lines)
    fields = getattr(source, "__struct_fields__", ())
    if fields:
        kinds = {
            field: kind
            for owner in reversed(source.__mro__)
            for field, kind in inspect.get_annotations(owner).items()
        }
        lines.append("\n".join(["```text", *(f"{field}: {kinds[field]}" for field in fields), "```\n"]))
    for member, value in offered(source):
        lines += [f"### {name}.{member}\n", f"*{how(value)}*\n"]
        if not isinstance(value, property):
            lines.append(signature(member, value))
        lines.append(paragraphs(value))
    return "\n".join(lines)


def offered(source: type) -> Iterator[tuple[str, object]]:
    """The public names of a class, in the order of the file, those that it inherits from ours behind."""
    seen = set()
    for owner in source.__mro__:
        if not owner.__module__.startswith("assent"):
            continue
        for name, raw in vars(owner).items():
            value = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
            if (
                name.startswith("_")
                or name in seen
                or not (inspect.isfunction(value) or isinstance(value, property))
            ):
                continue
            seen.add(name)
            yield name, value


def how(value: object) -> str:
    """What a program does with it."""
    if isinstance(value, property):
        return "a property"
    assert callable(value), "`offered` gives no others"
    gives = str(inspect.signature(value).return_annotation)
    if "AsyncIterator" in gives:
        return "a method, for `async for`"
    return "a method, awaited" if inspect.iscoroutinefunction(value) else "a method, not awaited"


def signature(name: str, source: object) -> str:
    """How it is called."""
    assert callable(source), "a part is a class or a function"
    found = inspect.signature(source)
    taken = [one for key, one in found.parameters.items() if key not in ("self", "cls")]
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(found.replace(parameters=taken)))
    text = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", text)
    return f"```text\n{name}{text}\n```\n"


def paragraphs(source: object) -> str:
    """Its docstring."""
    own = source.fget if isinstance(source, property) else source
    text = inspect.getdoc(own) or ""
    assert text, f"{own} has no docstring"
    return re.sub(r"^(?=#)", r"\\", text, flags=re.MULTILINE) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    text = page()
    if arguments == ["--check"]:
        is_old = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text
        print("old: python -m tools.write_api" if is_old else "the page is up to date.")
        return int(is_old)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
