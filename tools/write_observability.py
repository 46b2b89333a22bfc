"""Writes the tables of `docs/observability.md` from the code, so that no event, metric or attribute is left out.

    python -m tools.write_observability [--check]

`--check` writes nothing and ends with 1 when the page is not what it would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from assent.runtime.wiring.traces import ATTRIBUTES
from assent.server._exchanges import Exchange
from assent.server._figures import FIGURES
from assent.spec.events.kinds import EVENT_TYPES

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "observability.md"
BLOCK: Final = re.compile(r"(<!-- ([a-z]+): written by .*? -->\n).*?(<!-- end -->\n)", re.DOTALL)


def page(text: str) -> str:
    """The page with its tables as they are now."""
    tables = {"metrics": _metrics(), "request": _request(), "spans": _spans(), "events": _events()}
    return BLOCK.sub(
        lambda found: found[1] + "".join(f"{row}\n" for row in tables[found[2]]) + found[3], text
    )


def _metrics() -> Iterator[str]:
    yield from ("| metric | kind | labels | meaning |", "|---|---|---|---|")
    for one in FIGURES:
        yield f"| `{one.name}` | {one.kind} | {_listed(one.labels)} | {one.means} |"


def _request() -> Iterator[str]:
    yield f"A `request` has {_listed(Exchange.__struct_fields__)}; what is empty is left out."


def _spans() -> Iterator[str]:
    yield from ("| attribute | meaning |", "|---|---|")
    yield from (f"| `{name}` | {means} |" for name, means in ATTRIBUTES.items())


def _events() -> Iterator[str]:
    yield from ("| event | attributes |", "|---|---|")
    for kind, event in sorted(EVENT_TYPES.items()):
        yield f"| `{kind}` | {_listed(field.encode_name for field in msgspec.structs.fields(event))} |"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: list[str]) -> int:
    """Write the tables, or compare them."""
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text)
    if arguments == ["--check"]:
        print(
            "docs/observability.md is up to date."
            if text == wanted
            else "python -m tools.write_observability"
        )
        return 0 if text == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    print(f"wrote {len(FIGURES)} metrics and {len(EVENT_TYPES)} events")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
