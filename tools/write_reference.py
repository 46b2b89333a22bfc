"""Writes the keys of workflows, policies and specs into their pages, from the schemas that describe them.

    python -m tools.write_reference [--check]

`--check` writes nothing and ends with 1 when a page says something else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from assent.errors import Json
from assent.findings import finding_schema, project_schema, resource_schema, run_schema
from assent.policy import policy_schema
from assent.spec.capability_schema import capability_schema
from assent.spec.schemas.written import reference
from assent.spec.workflow.schema import workflow_schema

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"


def projects_schema() -> dict[str, Json]:
    """All that a project is made of; what stands in findings, too, is told there."""
    parts: dict[str, Json] = {}
    for schema in (project_schema(), run_schema(), resource_schema()):
        assert isinstance(schema["$defs"], dict), "`document_schema` made it"
        parts |= schema["$defs"]
    return {"$defs": {name: part for name, part in parts.items() if name not in {"Location", "Provenance"}}}


SCHEMAS: Final = {
    "capability-spec.md": capability_schema,
    "findings.md": finding_schema,
    "policy.md": policy_schema,
    "projects.md": projects_schema,
    "workflows.md": workflow_schema,
}
BEGIN: Final = "<!-- Written by `python -m tools.write_reference`. -->\n"
END: Final = "<!-- End of what is written. -->\n"


def tables(schema: Mapping[str, Json]) -> str:
    """A heading and a table for each mapping of the file."""
    parts = []
    for name, meaning, keys in reference(schema):
        rows = "".join(f"| `{one.name}` | {one.form} | {one.meaning} |\n" for one in keys)
        parts.append(
            f"### Keys of `{name}`\n\n{meaning}\n\n| key | written as | meaning |\n|---|---|---|\n{rows}"
        )
    return "\n" + "\n".join(parts) + "\n"


def written(name: str) -> str:
    """The page as it should be."""
    page = (DOCS / name).read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{name} does not say where its keys stand"
    return f"{before}{begin}{tables(SCHEMAS[name]())}{end}{after}"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    old = [name for name in SCHEMAS if (DOCS / name).read_text(encoding="utf-8") != written(name)]
    if arguments == ["--check"]:
        print(
            f"old: {', '.join(old)}: python -m tools.write_reference" if old else "the pages are up to date."
        )
        return int(bool(old))
    for name in old:
        (DOCS / name).write_text(written(name), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
