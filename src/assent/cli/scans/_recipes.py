"""`assent scan code` and `web`: workflows of several scanners, those that are here, and a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, Unpack

import click

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli.findings._options import fail_on_option, project_said
from assent.cli.runs._drive import read_wait
from assent.cli.runs._run import wait_option
from assent.cli.scans._outcome import driven, project_option
from assent.errors import InputError
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assent.errors import Json

F = TypeVar("F", bound=Callable[..., Any])  # `Any`: whatever command it is put on

_CODE: Final = ("bandit", "semgrep", "detect-secrets")
_WEB: Final = ("nmap", "ffuf", "wapiti", "nuclei")


class _Said(TypedDict):
    """What every recipe is told."""

    project: str
    chosen: tuple[str, ...]
    report: str
    fail_on: str | None
    wait: str | None


def _options(report: str, form: str) -> Callable[[F], F]:
    """The options of every recipe."""

    def put(function: F) -> F:
        for option in (
            wait_option,
            fail_on_option("a finding that a scan read, and is open,"),
            click.option(
                "--report", default=report, show_default=True, metavar="PATH", help=f"The report, as {form}."
            ),
            click.option(
                "--tool",
                "chosen",
                multiple=True,
                metavar="TOOL",
                help="Only this scanner; may be said again. Left out: all that are here and have what they need.",
            ),
            project_option,
        ):
            function = option(function)
        return function

    return put


@command("code", short_help="Scan code with what is installed here, and write a report.")
@click.argument("path", default=".", required=False)
@_options("reports/code.sarif", "SARIF")
@click.option(
    "--rules",
    metavar="PATH",
    help="Rules for semgrep: a file or folder of the workspace, or a resource. Without them it is left out.",
)
def code(door: Door, path: str, *, rules: str | None, **said: Unpack[_Said]) -> int:
    """Scan the code at PATH of the workspace: bandit, semgrep with rules of your own, detect-secrets; then a report.

    It runs the workflow `code-scan` under the policy, its scanners at the same time; `assent undo` takes findings and report
    back.
    """
    lacks = {
        "semgrep": None
        if rules
        else "it needs rules of your own: `--rules PATH`, a file or folder of the workspace"
    }
    return _recipe(door, "code", {"path": path, "rules": rules or ""}, said, known=_CODE, lacks=lacks)


@command("web", short_help="Scan a web server with what is installed here, and write a report.")
@click.argument("target")
@_options("reports/web.html", "HTML")
@click.option(
    "--wordlist",
    metavar="PATH",
    help="Words for ffuf: a file of the workspace, or a resource. Without it, it is left out.",
)
@click.option(
    "--templates",
    metavar="PATH",
    help="Templates for nuclei: a file or folder, or a resource. Without them it is left out.",
)
def web(
    door: Door, target: str, *, wordlist: str | None, templates: str | None, **said: Unpack[_Said]
) -> int:
    """Scan the web server at TARGET, a URL within the written scope: nmap, ffuf, wapiti, nuclei; then a report.

    It runs the workflow `web-scan`, one scanner after the other, under the policy, which asks about active scans unless it
    says otherwise.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(target)
        host, port = parts.hostname if "://" in target else None, parts.port
    except ValueError:
        host = port = None
    if host is None:
        message = f"`{safe_line(target, 80)}` is not a URL"
        raise InputError("USAGE_INVALID", message, hint="for example `https://shop.example/`")
    shown = f"[{host}]" if ":" in host and port is not None else host
    lacks = {
        "ffuf": None if wordlist else "it needs words: `--wordlist PATH`, a file of the workspace",
        "nuclei": None if templates else "it needs templates: `--templates PATH`, a file or folder",
    }
    inputs: dict[str, Json] = {
        "target": target,
        "host": shown if port is None else f"{shown}:{port}",
        "wordlist": wordlist or "",
        "templates": templates or "",
    }
    return _recipe(door, "web", inputs, said, known=_WEB, lacks=lacks)


def _recipe(
    door: Door,
    name: str,
    inputs: dict[str, Json],
    said: _Said,
    *,
    known: Sequence[str],
    lacks: Mapping[str, str | None],
) -> int:
    wait_ms = read_wait(said["wait"])
    _require_place(door, said["report"])
    project = project_said(door, said["project"])
    inputs |= {"project": project, "report": said["report"]}
    inputs["tools"] = _here(door, known, said["chosen"], lacks)
    request = requests.Run(
        text=door.perform(requests.Recipe(name=name)).text,
        source=f"{name}.yaml",
        inputs=inputs,
        environment=door.settings.environment,
    )
    return driven(door, request, project=project, wait_ms=wait_ms, fail_on=said["fail_on"])


def _require_place(door: Door, report: str) -> None:
    """Refuse a report that could not be written, before anything is scanned for it."""
    parts = report.split("/")
    hint = "it is a file of the workspace, by its path from there: `reports/scan.html`"
    if report.startswith("/") or ".." in parts or not report.strip("/."):
        raise InputError(
            "USAGE_INVALID", f"`--report` leads out of the workspace: `{safe_line(report, 80)}`", hint=hint
        )
    if (door.settings.workspace / report).is_dir():
        raise InputError("USAGE_INVALID", f"`--report` names a folder: `{safe_line(report, 80)}`", hint=hint)


def _here(
    door: Door, known: Sequence[str], chosen: Sequence[str], lacks: Mapping[str, str | None]
) -> list[Json]:
    """Those of a recipe's scanners that can be run. What was asked for by name and can't be is an error."""
    scanners = {one.tool: one for one in door.perform(requests.Scanners()).scanners}
    found: list[Json] = []
    for name in chosen or known:
        if name not in known:
            raise InputError(
                "SCANNER_UNKNOWN",
                f"the recipe has no scanner `{safe_line(name, 64)}`",
                hint=did_you_mean(name, known, otherwise=f"it has {', '.join(known)}"),
            )
        needs, error = lacks.get(name), scanners[name].error
        why = needs or (None if error is None else error.message)
        if why is None:
            found.append(name)
        elif chosen:
            of_it = None if needs else error
            raise InputError(
                "USAGE_INVALID" if of_it is None else of_it.code,
                f"`{name}` can't be run: {why}",
                hint=None if of_it is None else of_it.hint,
            )
        else:
            door.out.note(f"left out: {name}: {safe_line(why, 200)}")
    if not found:
        raise InputError(
            "SCANNER_MISSING", "none of the recipe's scanners can be run here", hint="assent scan tools"
        )
    return found
