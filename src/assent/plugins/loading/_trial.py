"""Trying a plugin in a process of its own: whatever it does there ends with that process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from assent.errors import InputError, Json

TRIAL_S: Final = 600
"""How long the whole suite may take. Each of its clauses has a limit of its own."""

_SUITE: Final = "assent.testing._plugin"


def try_plugin(request: Mapping[str, Json], *, limit_s: float = TRIAL_S) -> dict[str, Json]:
    """What the contract suite says of a plugin; see `assent.testing._plugin` for both sides.

    Raises what kept the plugin from being loaded, PLUGIN_FAILED when the process ended without an answer or took too long.
    """
    # `-P`: what lies in the current folder must not take a module's place.
    command = [sys.executable, "-P", "-m", _SUITE]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            input=json.dumps(request),
            stdout=subprocess.PIPE,
            timeout=limit_s,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _ended(request, f"it did not end within {limit_s:.0f} s") from None
    try:
        answer: dict[str, Json] = json.loads(done.stdout)
    except ValueError:
        raise _ended(request, f"its process ended with {done.returncode} and no answer") from None
    error = answer.get("error")
    if isinstance(error, dict):
        # Families do not travel. What keeps a plugin from being tried is its author's to mend.
        raise InputError.from_dict(error)
    return answer


def _ended(request: Mapping[str, Json], reason: str) -> InputError:
    return InputError(
        "PLUGIN_FAILED",
        f"plugin `{request['name']}` could not be tried: {reason}",
        hint="what it printed stands above",
    )
