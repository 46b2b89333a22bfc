"""Codes of programs that are run."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

EXEC_CODES: Final[dict[str, Explanation]] = {
    "PROGRAM_NOT_ALLOWED": Explanation(
        "No rule of `[exec.rules]` lets this principal run this program. Nothing was run.",
        "If it may be run, the operator writes a rule into `assent.toml`; without one no program is.",
    ),
    "PROGRAM_MISSING": Explanation(
        "A program that a rule allows is not installed where programs are looked for.",
        "Install it, or allow it by its absolute path.",
    ),
    "ENVIRONMENT_NOT_ALLOWED": Explanation(
        "A caller set a variable that the rule does not let callers set: many variables change which code a program runs.",
        "Leave it out, or have the operator name it under the rule's `environment`.",
    ),
    "PROGRAM_FAILED": Explanation(
        "A program ended with another exit code than 0, or by a signal. Without a network it has had no effect.",
        "Its last words are `details.stderr` and `details.stdout`. With `check: false` an exit code is told and is no failure.",
    ),
    "PROGRAM_LIMIT": Explanation(
        "A program was ended because it passed a limit of the sandbox: time, memory, processes, or what it wrote or printed.",
        "Give it less to do, or raise that limit under `[sandbox]`.",
    ),
    "CAPTURE_REFUSED": Explanation(
        "A program wrote a socket, a pipe, a device or a link that leads out; none is taken over. Nothing was applied.",
        "Have it not write that, or name it under `ignore`.",
    ),
}
