"""The codes that running confined programs can meet."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

SANDBOX_CODES: Final[dict[str, Explanation]] = {
    "SANDBOX_UNAVAILABLE": Explanation(
        "No program can be confined on this machine, so none is run: the kernel offers neither namespaces nor Landlock.",
        "`assent doctor` shows what is missing. `unconfined = true` under `[sandbox]` runs programs without walls.",
    ),
    "SANDBOX_FAILED": Explanation(
        "A sandbox that stands on this machine could not be built this time, or its launcher was killed.",
        "Try again; the message names the step, and `assent doctor` shows what holds.",
    ),
    "SANDBOX_INVALID": Explanation(
        "What a program was to be confined to can't be: a path is missing or relative, or the working folder lies outside.",
        "Mend what the message names.",
    ),
    "SANDBOX_PROGRAM": Explanation(
        "The program can't be started inside the sandbox: it is not there, or is no program.",
        "Inside there are the system's programs, the workspace, and what the configuration names.",
    ),
    "SANDBOX_LAYER_FULL": Explanation(
        "What a program has written, or the workspace that it needed a copy of, is more than the private layer may hold.",
        "Raise `layer_bytes` or `layer_entries` under `[sandbox]`, or have the program write less.",
    ),
}
