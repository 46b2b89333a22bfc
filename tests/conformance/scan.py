"""`scan.*`: scanners, one of each kind, that a manifest of the workspace describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.errors import Json
from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings
from tests.conformance.case import Case, Cell, Escape, Stage, tree

_FOUND: Final = (
    '{"template-id":"weak","info":{"name":"Weak","severity":"low"},"host":"h","matched-at":"http://h/"}'
)
_PROGRAM: Final = f"""\
#!/bin/sh
case "$*" in
  --version) echo "probe 1.0" ;;
  *--last*) exec sleep infinity ;;
  *) cat "$1" 2>/dev/null; echo '{_FOUND}' ;;
esac
"""
_MANIFEST: Final = """\
tool = "{kind}-probe"
title = "Probe"
about = "nothing, for tests"
kind = "{kind}"
target = "{target}"
binary = ["probe"]
args = ["{{target}}", ["--last", "{{last}}"], ["--words", "{{words}}"]]

[version]
args = ["--version"]
pattern = "probe (?P<version>[0-9.]+)"

[output]
parser = "nuclei"

[options.last]
type = "flag"
about = "never end"

[options.words]
type = "file"
about = "words to read"
"""
_SETTINGS: Final = """\
[scan]
tools = "scanners"
paths = ["tools"]

[scan.scope]
networks = ["192.0.2.0/24"]
ports = [80]
"""
_OUTCOME: Final = "its effect is its outcome in the record: before that is there, nobody could see one"
_STOPPED: Final = "a step's time limit leaves it in doubt, as a kill does; the scanner's own limit fails it (`PROGRAM_LIMIT`)"
_TARGETS: Final = {"active": "http://192.0.2.7/", "passive": "http://192.0.2.7/", "static": "src"}


def _arrange(stage: Stage) -> None:
    (stage.workspace / "tools/probe").chmod(0o755)


def _datasets(stage: Stage) -> object:
    """What scans brought into the findings, as the record has it now."""
    settings = Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)
    found = process.perform(requests.Datasets(), settings).datasets
    return tree(stage), [(one.tool, one.name, one.findings) for one in found]


def _inputs(kind: str, **more: Json) -> Mapping[str, Json]:
    return {"tool": f"{kind}-probe", "target": _TARGETS[kind], "project": "shop", **more}


def _case(kind: str, escapes: tuple[Escape, ...], *, timeout: str = "") -> Case:
    manifest = _MANIFEST.format(kind=kind, target="path" if kind == "static" else "url")
    return Case(
        f"scan.{kind}",
        _inputs(kind),
        {"src/a.txt": "one\n", "tools/probe": _PROGRAM, f"scanners/{kind}-probe.toml": manifest},
        arrange=_arrange,
        observe=_datasets,
        settings=_SETTINGS,
        bad=(_inputs(kind, tool="../probe"), _inputs(kind, options={"last": []}), _inputs(kind, project="")),
        escapes=(
            *escapes,
            Escape(_inputs(kind, options={"words": "../outside/canary.txt"}), "PATH_ESCAPES"),
            Escape(_inputs(kind, options={"words": ".assent/ledger.db"}), "PATH_PROTECTED"),
            Escape(_inputs(kind, options={"words": "/etc/shadow"}), "OPTION_INVALID"),
            Escape(_inputs(kind, options={"words": "--help"}), "OPTION_INVALID"),
        ),
        lasting=_inputs(kind, options={"last": True}),
        without={Cell.RECONCILE: _OUTCOME} | ({Cell.TIMEOUT: timeout} if timeout else {}),
    )


_OUT: Final = ("http://192.0.3.7/", "http://192.0.2.7:81/", "http://127.0.0.1/", "http://[::1]/")

CASES: Final = (
    _case(
        "active",
        tuple(Escape(_inputs("active", target=one), "SCAN_OUT_OF_SCOPE") for one in _OUT),
        timeout=_STOPPED,
    ),
    _case("passive", tuple(Escape(_inputs("passive", target=one), "SCAN_OUT_OF_SCOPE") for one in _OUT)),
    _case(
        "static",
        (
            Escape(_inputs("static", target="../outside"), "PATH_ESCAPES"),
            Escape(_inputs("static", target="../outside/canary.txt"), "PATH_ESCAPES"),
        ),
    ),
)
