"""The contract suite on one plugin, in a process of its own: `assent plugin test` starts it and reads its answer.

Reads one JSON object on stdin (`workspace`, `lock`, `name`, `path`, `untrusted`, `native`) and writes one to stdout. What the
plugin prints goes to stderr. A plugin that ends the process, or never answers, ends or holds up this one and no other.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from assent import __version__
from assent.errors import AssentError, Json
from assent.plugins import (
    Candidate,
    CheckedPlugin,
    InProcessHost,
    LoadedPlugin,
    Lock,
    find_sources,
    read_candidate,
    sources_at,
)
from assent.testing._case import Case
from assent.testing._contract import check_capability

CASES_MODULE = "contract"
CASES_NAME = "CASES"


def main() -> int:
    """Do what stdin asks, and answer on stdout; 0 whatever came of it."""
    request: dict[str, Json] = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = trial(request)
        except AssentError as error:
            answer = {"error": error.to_dict()}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def trial(request: Mapping[str, Json]) -> dict[str, Json]:
    """Every clause on every case of every capability. Raises what finding, trusting and loading the plugin raise."""
    candidate = _candidate(request)
    checked = _checked(candidate, request)
    host = InProcessHost()
    loaded = host.load(checked)
    try:
        outcomes = _outcomes(loaded)
    finally:
        host.unload(loaded)
    return {
        "name": candidate.name,
        "digest": candidate.digest,
        "ok": all(one["fault"] is None for one in outcomes),
        "outcomes": [*outcomes],
    }


def _candidate(request: Mapping[str, Json]) -> Candidate:
    workspace, name, path = Path(str(request["workspace"])), str(request["name"]), request["path"]
    if path is None:
        return read_candidate(find_sources(workspace, []).get(name), assent=__version__)
    return next(
        read_candidate(one, assent=__version__)
        for one in sources_at(workspace, str(path))
        if one.name == name
    )


def _checked(candidate: Candidate, request: Mapping[str, Json]) -> CheckedPlugin:
    if request["untrusted"] is True:
        return candidate.unchecked(native=request["native"] is True)
    return candidate.check(Lock.load(Path(str(request["lock"]))).plugins.get(candidate.name))


def _outcomes(loaded: LoadedPlugin) -> list[dict[str, Json]]:
    cases = _cases(loaded)
    return [
        {
            "capability": spec.reference,
            "clause": one.clause,
            "promise": one.promise,
            "case": one.case,
            "fault": one.fault,
        }
        for spec, handler in loaded.capabilities
        for one in check_capability((spec, handler), cases.get(spec.id, ()))
    ]


def _cases(loaded: LoadedPlugin) -> Mapping[str, Sequence[Case]]:
    """The cases of the plugin's module `contract`, by capability; those without any are tried on cases made from their schema."""
    module = f"{loaded.plugin.module.partition('.')[0]}.{CASES_MODULE}"
    file = f"{module.replace('.', '/')}.py"
    if file not in loaded.plugin.code.files:
        return {}
    found = getattr(importlib.import_module(module), CASES_NAME, {})
    return found if isinstance(found, Mapping) else {}


if __name__ == "__main__":
    sys.exit(main())
