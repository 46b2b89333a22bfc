"""Writes what is built in into the `catalog.json` of its area, so that a start reads it instead of building it.

    python -m tools.write_catalog [--check]

To be run whenever the description of a built-in capability changed. `--check` writes nothing and ends with 1 when a file is not
what it would write. After a merge that met in such a file: take either side, and run it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from assent.capabilities._builtin import catalogs, described_in, is_read_in_plans
from assent.errors import Json

HINT = "python -m tools.write_catalog"


def catalog_text(name: str) -> str:
    """What the file of an area has to hold: an entry for each capability that its module describes.

    Raises what registering one of them would raise. One that has no `revision`, or has hooks, can't be written down:
    the bytecode of a handler differs with each release of Python, and what a hook would do nobody knows before it is imported.
    """
    found: dict[str, Json] = {}
    for one in described_in(name):
        spec, handler = one.spec, one.handler
        assert handler.revision is not None, f"`{spec.id}` needs a `revision`"
        assert not handler.hooks, f"`{spec.id}` is built in and has hooks"
        found[spec.reference] = {
            "module": name,
            "fingerprint": spec.fingerprint,
            "handler": handler.fingerprint(),
            "parts": [*sorted(handler.parts)],
            "rehearsable": handler.rehearsable,
            **({"in_plans": True} if not spec.has_effect and is_read_in_plans(name) else {}),
            "spec": spec.to_json(),
        }
    # Only the capabilities are sorted: the order of a schema's properties is that in which people are asked for them.
    text = msgspec.json.format(msgspec.json.encode(dict(sorted(found.items()))), indent=1)
    return f"{text.decode()}\n"


def old() -> list[tuple[Path, str]]:
    """The files that do not hold what they have to, each with what that is."""
    wanted = [(path, catalog_text(module)) for path, module in catalogs().items()]
    return [
        (path, text)
        for path, text in wanted
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    found = old()
    names = [f"{path.parent.name}/{path.name}" for path, _ in found]
    if arguments == ["--check"]:
        print(
            f"{', '.join(names)}: not what the capabilities are described as; run {HINT}"
            if found
            else "the catalogue is up to date."
        )
        return 1 if found else 0
    for path, text in found:
        path.write_text(text, encoding="utf-8")
    print(f"wrote {', '.join(names) or 'nothing: the catalogue is up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
