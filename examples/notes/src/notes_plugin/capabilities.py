"""What can be done: list, and add. Everything acts through `context.world`, so that plans and undo can be rehearsed."""

from __future__ import annotations

import difflib

from assent import AssentError, LocalContext, capability
from assent.invocation import NoEffectError, Preview, Reconciliation
from assent.spec.states import Verdict

END = ".notes.txt"


def place(title: str) -> str:
    """The file of a title. Only what is a plain file name everywhere is taken."""
    if not title or len(title) > 100 or not title.replace("-", "").replace("_", "").isalnum():
        raise NoEffectError("TITLE_INVALID", f"`{title[:100]}` is no title: letters, digits, `-` and `_`")
    return f"{title}{END}"


def found(context: LocalContext, path: str) -> str | None:
    """The text in a file, or None where there is none."""
    files = context.world.files
    if files.stat(path) is None:
        return None
    return b"".join(files.read(path)).decode(errors="replace")


# -- reading: no undo is needed, and none is asked for ---------------------------------------------------------------------


@capability("notes.list", operation="READ", risk="LOW", justification="reads names in the workspace")
def list_all(context: LocalContext) -> list[str]:
    """List the titles."""
    return [name.removesuffix(END) for name in context.world.files.list(".") if name.endswith(END)]


# -- writing: what is prepared is journaled before the effect, and is all that the undo will have --------------------------


@capability(
    "notes.add",
    operation="WRITE",
    risk="LOW",
    justification="adds a file, which is taken away again by the undo",
    reversible=True,
    scope="workspace",
    effect="adds a file",
    rehearsable=True,
)
def add(context: LocalContext, title: str, text: str) -> str:
    """Add a text under a title that is not taken."""
    path = place(title)
    context.world.files.write(path, [text.encode()], key=context.key, replace=False)
    return path


@add.prepare
def look(context: LocalContext, title: str) -> dict[str, bool]:
    """Refuse a title that is taken, while nothing has been done."""
    if found(context, place(title)) is not None:
        raise NoEffectError("TITLE_TAKEN", f"there is a text called `{title}` already")
    return {"absent": True}


@add.compensate
def take_away(context: LocalContext, title: str, text: str) -> None:
    """Remove the file, if it is still what was added: nobody else's change is thrown away."""
    path = place(title)
    now = found(context, path)
    if now is None:
        return
    if now != text:
        raise AssentError("COMPENSATION_CONFLICT", f"`{path}` was changed since it was added", path=path)
    context.world.files.remove_file(path)


@add.reconcile
def happened(context: LocalContext, title: str, text: str) -> Reconciliation:
    """After a crash: did it happen?"""
    path = place(title)
    now = found(context, path)
    if now is None:
        return Reconciliation(Verdict.NO)
    return Reconciliation(Verdict.YES, path) if now == text else Reconciliation(Verdict.UNKNOWN, foreign=True)


@add.preview
def show(context: LocalContext, title: str, text: str) -> Preview:
    """What a plan and an approval show. It is given a simulated world, and acts on it as `execute` would."""
    path = place(title)
    if found(context, path) is not None:
        raise NoEffectError("TITLE_TAKEN", f"there is a text called `{title}` already")
    context.world.files.write(path, [text.encode()], key=context.key, replace=False)
    lines = difflib.unified_diff([], text.splitlines(keepends=True), "/dev/null", path)
    return Preview("unified", "".join(lines))
