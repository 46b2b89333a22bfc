"""Which programs may be run, by whom and with what: the operator's list. What is on no rule of it is not run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from assent.invocation import NoEffectError
from assent.spec.words.globs import glob_matches

PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")
"""Where a program that is only named is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRule:
    """One rule: the programs, for whom, and what they get.

    A program is a bare name (`make`), an absolute path, or a path in the workspace that begins with `./`. `environment` are
    patterns of names that a caller may set; `inherit` are names whose values come from Assent's own environment.
    """

    name: str
    programs: tuple[str, ...]
    principals: tuple[str, ...] = ("*",)
    network: bool = False
    read_only: tuple[Path, ...] = ()
    environment: tuple[str, ...] = ()
    inherit: tuple[str, ...] = ()
    set: Mapping[str, str] = field(default_factory=dict)

    def admits(self, program: str, principal: str) -> bool:
        """Whether it lets this principal run this program."""
        return program in self.programs and any(glob_matches(one, principal) for one in self.principals)


@dataclass(frozen=True, slots=True)
class Permit:
    """A program that may be run: where it is, under which rule, and all that it finds in its environment."""

    program: str
    rule: ProgramRule
    environment: Mapping[str, str]


def permit(
    rules: Sequence[ProgramRule],
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    principal: str,
    workspace: Path,
    own: Mapping[str, str],
) -> Permit:
    """The permit for one call. `environment` is what the caller sets, `own` is Assent's.

    Raises `NoEffectError`: PROGRAM_NOT_ALLOWED, PROGRAM_MISSING, ENVIRONMENT_NOT_ALLOWED.
    """
    program = argv[0]
    rule = next((rule for rule in rules if rule.admits(program, principal)), None)
    if rule is None:
        raise _not_allowed(rules, program, principal)
    refused = [name for name in environment if not any(glob_matches(one, name) for one in rule.environment)]
    if refused:
        raise NoEffectError(
            "ENVIRONMENT_NOT_ALLOWED",
            f"`{program}` may not be given {', '.join(f'`{name[:80]}`' for name in refused)} in its environment",
            path=f"environment.{refused[0]}",
            hint=f"name it under `environment` of `[exec.rules.{rule.name}]`, if it is harmless to `{program}`",
        )
    inherited = {name: own[name] for name in rule.inherit if name in own}
    # Programs look for each other, and many give up without a home or a language.
    plain = {"PATH": ":".join(PATH), "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108  # the program's own, in the sandbox
    return Permit(_place(program, workspace), rule, {**plain, **inherited, **rule.set, **environment})


def place_of(program: str, workspace: Path) -> Path | None:
    """Where the program is that a rule names so, None where there is none that could be started."""
    if program.startswith("./"):
        places = [workspace / program.removeprefix("./")]
    else:
        places = [Path(program)] if program.startswith("/") else [Path(folder, program) for folder in PATH]
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), None)


def _place(program: str, workspace: Path) -> str:
    """The path of a program that a rule names; where it stands is looked at again by whoever starts it."""
    place = place_of(program, workspace)
    if place is not None:
        return str(place)
    searched = ", ".join(f"`{folder}`" for folder in PATH)
    raise NoEffectError(
        "PROGRAM_MISSING",
        f"there is no program `{program}`" + ("" if "/" in program else f" in {searched}"),
        path="argv[0]",
        hint="install it, or allow it by its absolute path",
    )


def _not_allowed(rules: Sequence[ProgramRule], program: str, principal: str) -> NoEffectError:
    others = sorted({rule.name for rule in rules if program in rule.programs})
    if others:
        message = f"`{principal}` may not run `{program[:200]}`"
        hint = f"`[exec.rules.{others[0]}]` allows it for others: add the principal to its `principals`"
    else:
        message = f"no rule allows the program `{program[:200]}`"
        hint = f'if it may be run, write a rule: `[exec.rules.NAME]` with `programs = ["{program[:80]}"]`'
    return NoEffectError(
        "PROGRAM_NOT_ALLOWED", message, path="argv[0]", hint=hint, details={"program": program[:1000]}
    )
