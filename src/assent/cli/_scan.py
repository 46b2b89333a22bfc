"""`assent scan`: which scanners are here, and running one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from assent.cli._command import command, group
from assent.cli._completion import complete_scanner
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK
from assent.cli.findings._import import is_bad
from assent.cli.findings._options import counted, project_said
from assent.cli.runs._drive import call, conclude, read_wait
from assent.cli.runs._progress import Progress
from assent.cli.runs._run import id_option, quiet_option, wait_option
from assent.cli.terminal._style import Paint
from assent.cli.terminal._table import table
from assent.errors import InputError
from assent.runtime import service
from assent.spec.words.legible import safe_line
from assent.spec.words.severities import SEVERITIES
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assent.errors import Json
    from assent.runtime.service import answers

_STYLES: Final = {"ready": "green", "refused": "red", "invalid": "red"}


@command("tools", watches=False, short_help="List scanners, and which are here.")
@click.argument("name", required=False, shell_complete=complete_scanner)
@click.option("--test", "is_tested", is_flag=True, help="Run NAME over the files of its self-test, too.")
def tools(door: Door, name: str | None, *, is_tested: bool) -> None:
    """List the scanners that there are manifests of: which are here, of what version, and whether their file is pinned.

    Each program is asked for its version, confined and without a network, so that another one of the same name is told apart.
    With NAME, show one with its options.
    """
    if is_tested and name is None:
        raise InputError("USAGE_INVALID", "`--test` needs a NAME", hint="assent scan tools bandit --test")
    tested = name if is_tested else None
    found = door.perform(service.requests.Scanners(tested=tested)).scanners
    if name is None or door.out.is_json:
        chosen = [one for one in found if name in {None, one.tool}]
        door.out.listing(
            chosen if name is None else [_of(found, name)],
            _row,
            head=["scanner", "kind", "status", "version", "pinned", "looks at"],
            none="there are no scanners",
        )
        return
    door.out.answer(_shown(_of(found, name), door.out.paint()))


def _row(one: answers.Scanner, paint: Paint) -> list[str]:
    says = one.about or ""
    if one.error is not None and one.status != "missing":
        says = f"{one.error.message} [{one.error.code}]"
    untried = one.version is not None and one.version not in one.tried
    return [
        one.tool,
        one.kind or "",
        paint(one.status, _STYLES.get(one.status)),
        safe_line(f"{one.version or ''}{' (untried)' if untried else ''}"),
        "pinned" if one.pinned else "",
        safe_line(says, 200),
    ]


def _shown(one: answers.Scanner, paint: Paint) -> str:
    facts = [
        ["kind", one.kind or ""],
        ["target", one.target or ""],
        ["manifest", one.source],
        ["tried with", ", ".join(one.tried) or "nothing: made from documentation alone"],
        ["status", paint(one.status, _STYLES.get(one.status))],
        ["why", "" if one.error is None else f"{one.error.message} [{one.error.code}]"],
        ["program", one.path or ""],
        ["version", one.version or ""],
        ["self-test", one.self_test or ""],
        ["sha256", f"{one.sha256}{' (pinned)' if one.pinned else ''}" if one.sha256 else ""],
    ]
    options = [
        [
            safe_line(said.name),
            safe_line(said.form, 60),
            "required" if said.required else "",
            safe_line(said.about),
        ]
        for said in one.options
    ]
    blocks = [
        f"{paint(one.tool, 'bold')}  {safe_line(one.title or '')}: {safe_line(one.about or '')}",
        table([[name, safe_line(value)] for name, value in facts if value], paint=paint, indent="  "),
        "options\n" + (table(options, paint=paint, indent="  ") if options else "  none"),
    ]
    return "\n\n".join(blocks)


def _of(found: list[answers.Scanner], name: str) -> answers.Scanner:
    known = {one.tool: one for one in found}
    if name not in known:
        raise InputError(
            "SCANNER_UNKNOWN",
            f"there is no scanner `{safe_line(name, 64)}`",
            hint=did_you_mean(name, known, otherwise="`assent scan tools` lists them"),
        )
    return known[name]


@command("run", short_help="Run one scanner.")
@click.argument("tool", shell_complete=complete_scanner)
@click.argument("target")
@click.option(
    "--project", required=True, metavar="P", help="The project that its findings belong to: a name or uuid."
)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the scanner.")
@wait_option
@id_option
@quiet_option
def run(
    door: Door,
    tool: str,
    target: str,
    *,
    project: str,
    options: tuple[str, ...],
    wait: str | None,
    ident: str | None,
) -> int:
    """Run the scanner TOOL on TARGET: a URL, a host or a network within the scope, or a path of the workspace.

    It is a call of `scan.active`, `scan.passive` or `scan.static`, whichever the scanner is for: gated and recorded, and
    `assent undo` takes its findings back.
    """
    wait_ms = read_wait(wait)
    given: dict[str, Json] = {}
    for one in options:
        name, sign, value = one.partition("=")
        if not name or not sign:
            raise InputError(
                "USAGE_INVALID", "`--option` takes NAME=VALUE", hint=f"not `{safe_line(one, 60)}`"
            )
        given[name] = value
    scanner = _of(door.perform(service.requests.Scanners(is_asked=False)).scanners, tool)
    if scanner.error is not None:
        raise InputError(
            scanner.error.code, scanner.error.message, path=scanner.error.path, hint=scanner.error.hint
        )
    parameters: dict[str, Json] = {
        "tool": tool,
        "target": target,
        "project": project_said(door, project),
        "options": given,
    }
    return call(door, f"scan.{scanner.kind}", parameters, wait_ms=wait_ms, ident=ident)


_CODE: Final = ("bandit", "semgrep", "detect-secrets")
_WEB: Final = ("nmap", "ffuf", "wapiti", "nuclei")

_project_option: Final = click.option(
    "--project",
    "-p",
    required=True,
    metavar="P",
    help="The project that its findings belong to: a name or uuid.",
)
_tool_option: Final = click.option(
    "--tool",
    "chosen",
    multiple=True,
    metavar="TOOL",
    help="Only this scanner; may be said again. Left out: all that are here.",
)


@command("code", short_help="Scan code with what is installed here, and write a report.")
@click.argument("path", default=".", required=False)
@_project_option
@_tool_option
@click.option(
    "--rules",
    metavar="PATH",
    help="Rules for semgrep: a file or folder of the workspace. Without them it is left out.",
)
@click.option(
    "--report", default="reports/code.sarif", show_default=True, metavar="PATH", help="The report, as SARIF."
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit code 1 when a scan read a finding of this severity or a worse one.",
)
@wait_option
def code(
    door: Door,
    path: str,
    *,
    project: str,
    chosen: tuple[str, ...],
    rules: str | None,
    report: str,
    fail_on: str | None,
    wait: str | None,
) -> int:
    """Scan the code at PATH of the workspace: bandit, semgrep with rules of your own, detect-secrets; then a report.

    It runs the workflow `code-scan`, step by step under the policy; `assent undo` takes findings and report back.
    """
    lacks = {"semgrep": None if rules else "it needs `--rules`"}
    inputs: dict[str, Json] = {
        "path": path,
        "project": project_said(door, project),
        "rules": rules or "",
        "report": report,
    }
    inputs["tools"] = _here(door, _CODE, chosen, lacks)
    return _recipe(door, "code", inputs, fail_on=fail_on, wait=wait)


@command("web", short_help="Scan a web server with what is installed here, and write a report.")
@click.argument("target")
@_project_option
@_tool_option
@click.option(
    "--wordlist", metavar="PATH", help="Words for ffuf: a file of the workspace. Without it, it is left out."
)
@click.option(
    "--templates", metavar="PATH", help="Templates for nuclei: a file or folder. Without them it is left out."
)
@click.option(
    "--report", default="reports/web.html", show_default=True, metavar="PATH", help="The report, as HTML."
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    help="Exit code 1 when a scan read a finding of this severity or a worse one.",
)
@wait_option
def web(
    door: Door,
    target: str,
    *,
    project: str,
    chosen: tuple[str, ...],
    wordlist: str | None,
    templates: str | None,
    report: str,
    fail_on: str | None,
    wait: str | None,
) -> int:
    """Scan the web server at TARGET, a URL within the written scope: nmap, ffuf, wapiti, nuclei; then a report.

    It runs the workflow `web-scan`, step by step under the policy, which asks about active scans unless it says otherwise.
    """
    from urllib.parse import urlsplit

    try:
        host = urlsplit(target).hostname if "://" in target else None
        port = urlsplit(target).port
    except ValueError:
        host = port = None
    if host is None:
        raise InputError(
            "USAGE_INVALID",
            f"`{safe_line(target, 80)}` is no URL",
            hint="for example `https://shop.example/`",
        )
    lacks = {
        "ffuf": None if wordlist else "it needs `--wordlist`",
        "nuclei": None if templates else "it needs `--templates`",
    }
    inputs: dict[str, Json] = {
        "target": target,
        "host": host if port is None else f"{host}:{port}",
        "project": project_said(door, project),
        "wordlist": wordlist or "",
        "templates": templates or "",
        "report": report,
    }
    inputs["tools"] = _here(door, _WEB, chosen, lacks)
    return _recipe(door, "web", inputs, fail_on=fail_on, wait=wait)


def _here(
    door: Door, known: Sequence[str], chosen: Sequence[str], lacks: Mapping[str, str | None]
) -> list[Json]:
    """Those of a recipe's scanners that can be run. What was asked for by name and can't be is an error."""
    scanners = {one.tool: one for one in door.perform(service.requests.Scanners()).scanners}
    found: list[Json] = []
    for name in chosen or known:
        if name not in known:
            raise InputError(
                "SCANNER_UNKNOWN",
                f"the recipe has no scanner `{safe_line(name, 64)}`",
                hint=f"it has {', '.join(known)}",
            )
        one = scanners[name]
        why = lacks.get(name) or (one.status if one.status != "ready" else None)
        if why is None:
            found.append(name)
        elif chosen:
            code = one.error.code if one.error is not None else "USAGE_INVALID"
            raise InputError(
                code, f"`{name}` can't be run: {why}", hint=one.error.hint if one.error is not None else None
            )
        else:
            door.out.note(f"left out: {name} ({why})")
    if not found:
        raise InputError(
            "SCANNER_MISSING", "none of the recipe's scanners can be run here", hint="assent scan tools"
        )
    return found


def _recipe(door: Door, name: str, inputs: dict[str, Json], *, fail_on: str | None, wait: str | None) -> int:
    text = door.perform(service.requests.Recipe(name=name)).text
    request = service.requests.Run(
        text=text,
        source=f"{name}.yaml",
        inputs=inputs,
        environment=door.settings.environment,
    )
    run = door.perform(request, Progress(door.out))
    code = conclude(door, run, wait_ms=read_wait(wait))
    found = door.perform(service.requests.Datasets(run=run.run_id)).datasets
    if not door.out.is_json:
        paint = door.out.paint()
        for one in found:
            door.out.note(f"{one.tool}: {counted(one.by_severity, paint)}; {one.new} new, {one.known} known")
    return FAILED if code == OK and any(is_bad(one.by_severity, fail_on) for one in found) else code


scan = group("scan", tools, run, code, web, help="List scanners, and run them within the written scope.")
