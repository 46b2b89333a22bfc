"""`assent doctor` on what areas of capabilities stand on: the walls around programs, and what they left."""

from __future__ import annotations

from collections.abc import Iterator

from assent.capabilities.area import Check
from assent.errors import AssentError
from assent.runtime.settings.effective import Settings
from assent.spec.words.sizes import size_text

SCOPE = "network that ends at a scope"

UNCONFINED_MEANS = (
    "`unconfined = true` under `[sandbox]` of assent.toml lets programs and plugins run all the same, each with every right of "
    "the user who runs Assent: only the limits hold, and nothing they write is captured, shown beforehand or undone"
)


def sandbox_checks(settings: Settings) -> Iterator[Check]:
    """The walls around programs, tried out now: each with what it is made of, or with what it lacks."""
    name = "sandbox"
    try:
        with settings.sandbox.detect() as sandbox:
            holds = sandbox.holds
            no_scope = sandbox.scope_missing() if holds.is_confined else None
    except AssentError as error:
        yield Check(name, "fault", f"{error.message} [{error.code}]", error.hint)
        return
    take_out = "take `unconfined` out of `[sandbox]`"
    if not holds.is_confined:
        from assent.sandbox import advice

        remedy = next(iter(holds.missing.values()), None)
        if settings.sandbox.unconfined:
            seen = "NOTHING HOLDS, and programs run UNCONFINED all the same"
            yield Check(name, "fault", seen, f"{take_out}; {remedy}")
        else:
            yield Check(name, "warning", "nothing holds, so no program is run", remedy)
        for one in advice():
            yield Check(f"{name}: a way to walls", "warning", one.why, one.what)
        if not settings.sandbox.unconfined:
            yield Check(f"{name}: without walls", "warning", "switched off", UNCONFINED_MEANS)
        return
    if settings.sandbox.unconfined:
        seen = f"{holds.backend}; `unconfined` is set and changes nothing here"
        yield Check(name, "warning", seen, take_out)
    else:
        yield Check(name, "ok", holds.backend)
    for wall, mechanism in holds.walls.items():
        yield Check(f"{name}: {wall}", "ok", mechanism)
    if no_scope is None:
        yield Check(f"{name}: {SCOPE}", "ok", "seccomp asks a guard, which connects and sends")
    else:
        yield Check(f"{name}: {SCOPE}", "warning", "can't be enforced", no_scope)


def scratch_check() -> Check:
    """Folders for temporary files, of programs and plugins, that are in use or that killed commands left."""
    from assent.sandbox import Scratch

    found = [*Scratch.look()]
    left = [size for is_used, size in found if not is_used]
    seen = f"{len(found) - len(left)} in use" if found else "none"
    if left:
        seen += f", {len(left)} left by a killed command ({size_text(sum(left))})"
    hint = "they go when the next program or plugin is started" if left else None
    return Check("temporary folders", "warning" if left else "ok", seen, hint)


def area_checks(settings: Settings) -> Iterator[Check]:
    """What each area says of itself."""
    from assent.runtime._areas import AREAS
    from assent.runtime.wiring._application import ground_of

    for name, area in AREAS.items():
        try:
            yield from area.checks(ground_of(settings, name))
        except AssentError as error:
            yield Check(name, "fault", str(error), error.hint)
