"""`assent doctor` on what hands reach: programs, the walls around them and what they left, git, and what may be told."""

from __future__ import annotations

from collections.abc import Iterator

from assent.cli._check import Check
from assent.cli._units import size_text
from assent.errors import AssentError
from assent.runtime.settings import Settings

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


def program_checks(settings: Settings) -> Iterator[Check]:
    """The operator's rules, each with the programs that it names and that are not there."""
    if not settings.programs:
        yield Check("programs", "ok", "no rule under `[exec.rules.NAME]`: none may be run")
        return
    from assent import system
    from assent.capabilities.exec import place_of
    from assent.runtime._application import programs_of

    environ = system.environment()
    for rule in programs_of(settings).rules:
        missing = [one for one in rule.programs if place_of(one, settings.workspace) is None]
        seen = f"{', '.join(rule.programs)} for {', '.join(rule.principals)}"
        seen += "; with the network" if rule.network else "; no network"
        unset = [one for one in rule.inherit if one not in environ]
        places = [str(one) for one in rule.read_only if not one.exists()]
        lacks = [
            *(
                [f"not there: {', '.join(f'`{one}`' for one in [*missing, *places])}"]
                if missing or places
                else []
            ),
            *([f"not set: {', '.join(f'`{one}`' for one in unset)}"] if unset else []),
        ]
        hint = f"install or set what is missing, or mend `[exec.rules.{rule.name}]`" if lacks else None
        yield Check(f"programs: {rule.name}", "warning" if lacks else "ok", "; ".join([seen, *lacks]), hint)


def capture_check(settings: Settings) -> Check:
    """What programs wrote and nobody has applied yet, and what killed commands left."""
    from assent.runtime._application import programs_home

    home = programs_home(settings)
    if not home.is_dir():
        return Check("captured writes", "ok", "none")
    from assent.capabilities.exec import FolderState, look

    sizes: dict[FolderState, list[int]] = {state: [] for state in FolderState}
    for one in look(home):
        sizes[one.state].append(one.size_bytes)
    kept, used, left = (sizes[state] for state in (FolderState.KEPT, FolderState.USED, FolderState.LEFT))
    seen = f"{len(kept)} kept until applied ({size_text(sum(kept))}), {len(used)} in use"
    if left:
        seen += f", {len(left)} left by a killed command ({size_text(sum(left))})"
    hint = "they go when the next command opens the state: assent resume" if left else None
    return Check("captured writes", "warning" if left else "ok", seen, hint)


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


def git_check(settings: Settings) -> Check:
    """Who commits where a call does not say it."""
    here = "a repository" if (settings.workspace / ".git").exists() else "no repository here"
    who = " ".join(
        [settings.git.name or "the principal", *([f"<{settings.git.email}>"] if settings.git.email else [])]
    )
    return Check("git", "ok", f"{here}; commits are by {who}")


def info_check(settings: Settings) -> Check:
    """Which variables of Assent's own environment calls may be told."""
    told = ", ".join(settings.told_variables) or "none"
    return Check("variables that are told", "ok", told)
