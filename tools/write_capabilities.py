"""Writes `docs/capabilities.md`, the reference of the built-in capabilities, from their descriptions and conformance cases.

    python -m tools.write_capabilities [--check]

`--check` writes nothing and ends with 1 when the page is not what it would write. Each example is the call of the capability's
conformance case, and a test executes it as it stands on the page.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from assent.errors import Json
from assent.invocation import Capability
from assent.spec.capability import CapabilitySpec
from assent.spec.values.frozen import thaw
from tests.conformance.case import Case, given
from tests.conformance.cells import BUILTIN
from tests.conformance.table import CASES
from tools._schema_rows import Schema, rows

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "capabilities.md"
WIDTH: Final = 110

HEAD: Final = """\
# Capabilities

<!-- Written by `python -m tools.write_capabilities` from the descriptions of the capabilities. Change them there. -->

Everything that a runtime can do without plugins. What each was tried for is in the [conformance table](conformance.md), what the
words mean in the [concepts](concepts.md); how one is written in [Writing a capability](writing.md).

A call without a time limit of its own gets that of its step, else `step_timeout` of `[limits]` in `assent.toml`.

"""


def page(builtin: Mapping[str, Capability[..., Any]], cases: Mapping[str, Case]) -> str:
    """The page: an index, and a section for each capability."""
    named = sorted(builtin)
    listed = [_line(builtin[name].spec) for name in named]
    index = "| capability | what it does | operation | risk |\n|---|---|---|---|\n" + "".join(listed)
    return HEAD + index + "".join(_section(builtin[name], cases.get(name)) for name in named)


def _line(spec: CapabilitySpec) -> str:
    anchor = spec.id.replace(".", "")
    cells = (f"[`{spec.id}`](#{anchor})", spec.description, spec.operation_type, spec.risk.level)
    return _row(*cells)


def _row(*cells: str) -> str:
    escaped = [" ".join(cell.replace("|", r"\|").split()) for cell in cells]
    return f"| {' | '.join(escaped)} |\n"


def _section(one: Capability[..., Any], case: Case | None) -> str:
    spec = one.spec
    facts = "".join(_row(name, text) for name, text in _facts(one) if text)
    blocks = [
        f"## `{spec.id}`",
        f"{spec.description}.",
        f"| | |\n|---|---|\n{facts}",
        _parameters(thaw(spec.parameters)),
        _results(thaw(spec.returns)),
    ]
    if case is not None and not case.in_session:
        blocks.append(f"```console\n{example(case)}\n```")
    return "\n" + "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _facts(one: Capability[..., Any]) -> Iterator[tuple[str, str]]:
    spec, why = one.spec, one.without
    risk = spec.risk
    asks = "; approval is always asked for" if risk.requires_approval else ""
    because = risk.justification or spec.side_effects.description
    yield "version", spec.version
    yield "operation", spec.operation_type
    yield "risk", f"{risk.level}: {because}{asks}"
    yield "undo", _undo(spec, why)
    yield "preview", "shown by `assent plan`" if one.handler.preview else f"none: {why['preview']}"
    yield "after a crash", _after_a_crash(one)
    yield "time limit", f"{spec.timeout:g} s" if spec.timeout is not None else ""
    yield "labels", ", ".join(f"`{label}`" for label in sorted(spec.labels))
    yield "secrets", ", ".join(f"`{name}`" for name in spec.secrets)
    needs = thaw(spec.sandbox)
    yield "sandbox", f"`{json.dumps(needs, sort_keys=True)}`" if needs else ""


def _undo(spec: CapabilitySpec, why: Mapping[str, str]) -> str:
    if not spec.has_effect:
        return "nothing to undo: reads only"
    if spec.side_effects.reversible:
        return "restores the state before, exactly"
    undo = spec.compensation
    if not undo.supported:
        return f"none: {why['compensate']}"
    if undo.capability_id is not None:
        return f"by `{undo.capability_id}` (`{undo.strategy}`)"
    return f"by an offsetting act (`{undo.strategy}`)"


def _after_a_crash(one: Capability[..., Any]) -> str:
    if not one.spec.has_effect:
        return "reads again"
    if one.handler.reconcile is not None:
        return "`reconcile` finds out whether it happened"
    again = "done again, which is harmless" if one.spec.idempotent else "in doubt, so that a person decides"
    return f"{again}: {one.without['reconcile']}"


def _parameters(schema: Schema) -> str:
    found = [*rows(schema)]
    if not found:
        return "Takes no parameters."
    head = "| parameter | type | default | limits | |\n|---|---|---|---|---|\n"
    return head + "".join(
        _row(row.name, row.kind, "required" if row.is_required else row.default, row.limits, row.description)
        for row in found
    )


def _results(schema: Schema) -> str:
    found = [*rows(schema)]
    if not found:
        return "Gives nothing."
    head = "| result | type | limits | |\n|---|---|---|---|\n"
    return head + "".join(_row(row.name, row.kind, row.limits, row.description) for row in found)


def example(case: Case) -> str:
    """The call as a reader types it: `$ assent call …`, and how it ends where it fails."""
    # Started servers are of no use here, but what a case is called with may be known only when they run.
    with (
        tempfile.TemporaryDirectory(prefix="assent-example-") as folder,
        case.stage(Path(folder) / "stage", dict(os.environ)) as stage,
    ):
        words = [f"assent call {case.capability}", *_words(case, given(case.inputs, stage))]
        line = " ".join(words) if len(" ".join(words)) <= WIDTH else " \\\n    ".join(words)
        for real, shown in stage.shown.items():
            line = line.replace(real, shown)
    return f"$ {line}" + ("\n[exit code 1]" if case.fails else "")


def _words(case: Case, inputs: Mapping[str, Json]) -> Iterator[str]:
    declared = thaw(BUILTIN[case.capability].spec.parameters)["properties"]
    for name, value in inputs.items():
        is_plain = declared[name].get("type") in {"boolean", "integer", "number"}
        if isinstance(value, str) and value.isprintable() and not value.startswith("@"):
            yield f"{name}={shlex.quote(value)}"
        else:
            yield f"{name}{'=' if is_plain else ':='}{shlex.quote(json.dumps(value))}"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or compare it."""
    wanted = page(BUILTIN, CASES)
    if arguments == ["--check"]:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
        command = "python -m tools.write_capabilities"
        print("docs/capabilities.md is up to date." if same else f"docs/capabilities.md is old: {command}")
        return 0 if same else 1
    PAGE.write_text(wanted, encoding="utf-8")
    print(f"wrote {len(BUILTIN)} capabilities")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
