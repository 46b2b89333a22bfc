"""`[findings]` of assent.toml: where the workspace's own manifests of tools are. And which entries tell of findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from assent.journal import Migration, Projection, Row
from assent.spec.documents.settings import Setting, Table
from assent.spec.values.json_fields import mapping, number, objects, text
from assent.spec.words.severities import counts_text
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.errors import Json
    from assent.invocation import GlobalContext
    from assent.journal.store._projections import Stored
    from assent.spec.events.kinds import Leaf
    from assent.spec.values.json_fields import Object

TOLD_OF: Final = ("findings.", "scan.")
"""How the ids of capabilities begin whose outcomes the store of findings is folded from, or may be."""

DATASETS: Final = frozenset({"findings.import", "scan.active", "scan.passive", "scan.static"})
"""Those of them whose outcome is a dataset."""
TRIAGE: Final = "findings.triage"
REMOVALS: Final = frozenset({"findings.gc", "findings.delete_project"})
ACTS: Final = DATASETS | REMOVALS | {TRIAGE}
"""Everything that the store is folded from, and so what nobody else makes a version of."""
TOLD_MAX: Final = 8
"""Reasons that are told."""


def _folder(value: object) -> Json:
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value.split("/"):
        raise ValueError('must be a folder of the workspace: `"scanners"`')
    return value


SECTION: Final[Table] = {
    "tools": Setting(
        _folder, "a folder of the workspace with more manifests of tools, `*.toml`", unless="none but ours"
    )
}


def _ingested(found: Object) -> str:
    counts = mapping(found, "by_severity")
    bad = counts_text({one: number(counts, one) for one in counts})
    said = f"{text(found, 'tool')}: {count_text(number(found, 'records') or 0, 'record')}, {bad or 'no findings'}"
    if number(found, "resources"):
        said += f", {count_text(number(found, 'resources') or 0, 'resource')}"
    fault = mapping(found, "fault")
    lines = [
        said + (", cut short by a fault" if fault else ""),
        f"{text(found, 'name')} into the project {text(found, 'project_name') or text(found, 'project')}",
        *(
            f"skipped {number(one, 'count')}: {text(one, 'reason')}"
            for one in objects(found, "skipped")[:TOLD_MAX]
        ),
    ]
    return "\n".join(
        [*lines, *([f"broken at byte {number(fault, 'begin')}: {text(fault, 'message')}"] if fault else [])]
    )


def _decided(found: Object) -> str:
    decided = f"decided about {count_text(number(found, 'count') or 0, 'finding')}"
    return "\n".join([decided, *map(decision_text, objects(found, "changes"))])


def decision_text(change: Object) -> str:
    """What is decided, in a few words."""
    said = {name: value for name, value in change.items() if name != "action" and value not in (None, [])}
    scope, until = said.pop("scope", "finding"), said.pop("until", None)
    reach = f" with all of its {scope}" if scope != "finding" else ""
    reach += f" until {until}" if until else ""
    told = ", ".join(", ".join(map(str, one)) if isinstance(one, list) else str(one) for one in said.values())
    return f"{text(change, 'action').replace('_', ' ')}{reach}{f': {told}' if told else ''}"


def _reported(found: Object) -> str:
    counts = mapping(found, "by_severity")
    total = sum(number(counts, one) or 0 for one in counts)
    return f"{count_text(total, 'finding')} in {text(found, 'path')}"


WORDS: Final[Words] = {
    frozenset({"path", "format", "by_severity", "replaced"}): _reported,
    frozenset({"dataset", "records", "by_severity", "normalised"}): _ingested,
    frozenset({"changes", "findings", "by", "count"}): _decided,
    frozenset({"datasets_before", "findings_before"}): lambda found: (
        f"{count_text(number(found, 'datasets') or 0, 'dataset')} and"
        f" {count_text(number(found, 'findings') or 0, 'finding')} removed\ndatasets of before"
        f" {text(found, 'datasets_before')}, findings not seen since {text(found, 'findings_before')}"
    ),
    frozenset({"project", "findings", "datasets"}): lambda found: (
        f"a project with {count_text(number(found, 'findings') or 0, 'finding')} removed"
    ),
}


def _rows(leaf: Leaf, stored: Stored) -> Iterable[Row]:
    # By their fields: the kinds themselves are imported by nobody who looks at no findings.
    event: Any = leaf.event
    kind = event.kind
    if kind == "run.erased":
        yield _act(leaf, "erased", "", "", None)
    elif kind == "step.started":
        if event.capability.startswith(TOLD_OF):
            key = (leaf.run, event.step)
            yield Row("findings_steps", key, (*key, event.capability))
    elif (begun := stored("findings_steps", (leaf.run, event.step))) is not None:
        what, output = ("done", event.output) if kind == "step.succeeded" else ("undone", None)
        yield _act(leaf, what, event.step, str(begun[2]), output)


def _act(leaf: Leaf, what: str, step: str, capability: str, output: str | None) -> Row:
    return Row("findings_acts", (leaf.seq,), (leaf.seq, what, leaf.run, step, capability, leaf.at_ms, output))


PROJECTION: Final = Projection(
    area="findings",
    tables={
        "findings_steps": ("run", "step", "capability"),
        "findings_acts": ("seq", "what", "run", "step", "capability", "at_ms", "output"),
    },
    keys={"findings_steps": 2, "findings_acts": 1},
    migrations=(
        Migration(
            1,
            "acts",
            """
CREATE TABLE findings_steps(run TEXT NOT NULL, step TEXT NOT NULL, capability TEXT, PRIMARY KEY(run, step))
  STRICT, WITHOUT ROWID;
CREATE TABLE findings_acts(
  seq INTEGER NOT NULL, what TEXT, run TEXT, step TEXT, capability TEXT, at_ms INTEGER, output TEXT, PRIMARY KEY(seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_acts_by_run ON findings_acts(run);
""",
        ),
    ),
    kinds=frozenset({"run.erased", "step.started", "step.succeeded", "compensation.succeeded"}),
    fold=_rows,
)
"""Which entries say something of findings: acts that succeeded (with the commitment to what they said), acts that were taken
back, and runs that were erased. `follow` folds the store from them."""


def offer(_app: GlobalContext, _ground: Ground) -> None:
    """Nothing: the ledger that the store follows is the roof's (`Core`)."""


def checks(ground: Ground) -> Iterator[Check]:
    """The manifests that the workspace brings."""
    from assent.capabilities.area import Check

    folder = ground.said.get("tools")
    if not isinstance(folder, str):
        return
    from assent.capabilities.findings._desk import own_tools

    if not (ground.workspace / folder).is_dir():
        hint = "make it, or mend `tools` under `[findings]` of assent.toml"
        yield Check("tools of findings", "warning", f"there is no folder `{folder}`", hint)
        return
    found = own_tools(ground.workspace / folder)
    for name, error in found.faults.items():
        yield Check(f"tool of findings: {name}", "fault", error.message, f"mend {error.path}")
    names = ", ".join(found.parsers)
    yield Check("tools of findings", "ok", f"{names} in `{folder}`" if names else f"none in `{folder}`")
