"""Finding a run by what a person types: an unambiguous beginning of its id is enough."""

from __future__ import annotations

from assent.errors import InputError
from assent.journal import JournalReader
from assent.spec.ids import RunId


def find_run(reader: JournalReader, beginning: str) -> RunId:
    """The only run whose id begins so, with or without `run_`; `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
    exact = reader.rows("runs", {"run_id": beginning})
    if exact:
        return RunId(beginning)
    runs = [str(row["run_id"]) for row in reader.rows("runs")]
    found = [run for run in runs if run.startswith((beginning, f"run_{beginning}"))]
    if len(found) == 1:
        return RunId(found[0])
    if not found:
        raise unknown_run(beginning)
    raise InputError(
        "RUN_AMBIGUOUS",
        f"`{beginning}` begins {len(found)} runs",
        hint=f"write more of it, e.g. `{found[-1]}`",
        details={"runs": [*found]},
    )


def unknown_run(run: str) -> InputError:
    """The refusal of an id that no run has."""
    return InputError("RUN_UNKNOWN", f"there is no run `{run}`", hint="list what there is with `assent runs`")
