"""The contract suite on one plugin, in a process of its own: `assent plugin test` starts it and reads its answer.

Reads one JSON object on stdin (`workspace`, `lock`, `name`, `path`, `untrusted`, `native`, `in_process`, `send`, `principal`)
and writes one to stdout. What the plugin prints goes to stderr. A plugin that ends the process, or never answers, ends or holds
up this one and no other.

Its parts are tried where they will run: in a confined worker, or in this process when the plugin is let into Assent's own. The
examples of its module `contract` are Python and no data, so they are always imported here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from assent import __version__, system
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
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._plugin_hosts import PluginHosts
from assent.testing._case import Case
from assent.testing._contract import check_capability
from assent.testing._requests import Requests

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
    principal = request.get("principal")
    settings = Settings.resolve(
        workspace=Path(str(request["workspace"])),
        principal=principal if isinstance(principal, str) else None,
        environ=system.environment(),
        cwd=Path.cwd(),
    )
    requests = Requests(settings, needs=None if request.get("send") is True else "send")
    host = PluginHosts(settings, remembers=False)
    try:
        loaded = host.load(checked)
        with _examples(checked) as cases:
            outcomes = _outcomes(loaded, cases, requests)
        host.unload(loaded)
    finally:
        host.close()
    return {
        "name": candidate.name,
        "digest": candidate.digest,
        "ok": all(one["fault"] is None and one["needs"] is None for one in outcomes),
        "outcomes": [*outcomes],
        "requests": [
            {"method": method, "origin": origin, "count": count}
            for (method, origin), count in sorted(requests.sent.items())
        ],
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
        return candidate.unchecked(
            native=request["native"] is True, in_process=request.get("in_process") is True
        )
    checked = candidate.check(Lock.load(Path(str(request["lock"]))).plugins.get(candidate.name))
    return replace(checked, in_process=checked.in_process or request.get("in_process") is True)


def _outcomes(
    loaded: LoadedPlugin, cases: Mapping[str, Sequence[Case]], requests: Requests
) -> list[dict[str, Json]]:
    return [
        {
            "capability": spec.reference,
            "clause": one.clause,
            "promise": one.promise,
            "case": one.case,
            "fault": one.fault,
            "hint": one.hint,
            "needs": one.needs,
        }
        for spec, handler in loaded.capabilities
        for one in check_capability((spec, handler), cases.get(spec.id, ()), requests=requests)
    ]


@contextlib.contextmanager
def _examples(plugin: CheckedPlugin) -> Iterator[Mapping[str, Sequence[Case]]]:
    """The cases of the plugin's module `contract`, by capability; those without any are tried on cases made from their schema."""
    module = f"{plugin.module.partition('.')[0]}.{CASES_MODULE}"
    file = f"{module.replace('.', '/')}.py"
    if file not in plugin.code.files:
        yield {}
        return
    own = InProcessHost()
    loaded = own.load(plugin)
    try:
        found = getattr(importlib.import_module(module), CASES_NAME, {})
        yield found if isinstance(found, Mapping) else {}
    finally:
        own.unload(loaded)


if __name__ == "__main__":
    sys.exit(main())
