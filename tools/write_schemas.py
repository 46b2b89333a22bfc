"""Writes the published JSON Schemas from the types that they describe, so that a schema cannot say anything else.

    python -m tools.write_schemas [--check]

`--check` writes nothing and ends with 1 when a file is not what it would write.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from assent.errors import Json
from assent.findings import finding_schema, project_schema, resource_schema, run_schema
from assent.plugins import manifest_schema
from assent.policy import policy_schema
from assent.runtime.service.schema import service_schema
from assent.spec.capability_schema import capability_schema
from assent.spec.workflow.schema import workflow_schema

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "schemas"

SCHEMAS: Final[Mapping[str, Callable[[], dict[str, Json]]]] = {
    "capability-3.json": capability_schema,
    "finding-1.json": finding_schema,
    "manifest-1.json": manifest_schema,
    "policy-1.json": policy_schema,
    "project-1.json": project_schema,
    "resource-1.json": resource_schema,
    "run-1.json": run_schema,
    "service-1.json": service_schema,
    "workflow-1.json": workflow_schema,
}


def text(name: str) -> str:
    """The file's text: two spaces deep, keys in the order of the types."""
    return json.dumps(SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schemas, or compare them."""
    if arguments == ["--check"]:
        files = {name: FOLDER / name for name in SCHEMAS}
        old = [n for n, f in files.items() if not f.is_file() or f.read_text(encoding="utf-8") != text(n)]
        print(
            f"old: {', '.join(old)}: python -m tools.write_schemas" if old else "the schemas are up to date."
        )
        return int(bool(old))
    FOLDER.mkdir(exist_ok=True)
    for name in SCHEMAS:
        (FOLDER / name).write_text(text(name), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
