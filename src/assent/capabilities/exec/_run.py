"""`sys.exec.run`: a program whose writes are thrown away, and whatever it does to the rest of the world is done."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from assent.capabilities.exec._output import ends, told
from assent.capabilities.exec._programs import Command, Programs, Ran, in_thread
from assent.capabilities.exec._rules import Permit
from assent.capabilities.exec._shapes import Ran as RanResult
from assent.capabilities.exec._shapes import Run, RunCaptured
from assent.capabilities.fs.world._faults import not_a_directory
from assent.errors import AssentError, WorldError
from assent.invocation import EntryKind, LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.secrets.revealing import names_in
from assent.spec.states import Verdict
from assent.spec.words.legible import safe_line


async def execute(context: LocalContext, parameters: Run) -> RanResult:
    """Run it, and tell how it ended and what came out of it."""
    environment: dict[str, str] = await context.reveal(parameters.environment)
    may_act = context.prepared is None or context.prepared.get("may_act") is not False
    programs = context.app.get(Programs)
    async with programs.run(context, command_of(parameters, environment), may_act=may_act) as ran:
        require_success(ran, check=parameters.check)
        streams = await in_thread(partial(told, context, ran.folder))
        fields: dict[str, Any] = {**ran.told(), **streams}
        return RanResult.model_validate(fields)


async def prepare(context: LocalContext, parameters: Run) -> Prepared:
    """Whether the program can have an effect: with a network, or without walls. A rule that is changed later changes nothing."""
    network = _permit(context, parameters).rule.network
    await in_thread(partial(_require_folder, context, parameters.cwd))
    return Prepared({"may_act": network or not await context.app.get(Programs).is_confined()})


def reconcile(context: LocalContext) -> Reconciliation:
    """A confined program without a network, whose writes were thrown away, has had no effect: running it again is right."""
    is_harmless = context.prepared is not None and context.prepared.get("may_act") is False
    return Reconciliation(Verdict.NO if is_harmless else Verdict.UNKNOWN)


def _permit(context: LocalContext, parameters: Run) -> Permit:
    # The values of its variables are no matter here, and are not revealed yet.
    command = command_of(parameters, dict.fromkeys(parameters.environment, ""))
    return context.app.get(Programs).permit(command, str(context.principal))


def _require_folder(context: LocalContext, path: str) -> None:
    """Refuse a working folder that is none, or that leads out of the workspace, before a person is asked about the call."""
    entry = context.world.files.stat(path)
    if entry is None or entry.kind is not EntryKind.DIRECTORY:
        raise not_a_directory(path)


def preview(context: LocalContext, parameters: Run) -> Preview:
    """The command line, and what the program would be granted."""
    allowed = _permit(context, parameters)
    _require_folder(context, parameters.cwd)
    context.foresee_secrets(names_in(parameters.environment))
    network = "with the network" if allowed.rule.network else "without a network"
    return Preview("text", f"{command_line(parameters)}\n({network}; what it writes is thrown away)\n")


def command_of(parameters: Run | RunCaptured, environment: dict[str, str]) -> Command:
    """The command that a caller asks for."""
    return Command(
        argv=tuple(parameters.argv),
        cwd=parameters.cwd,
        environment=environment,
        stdin=parameters.stdin,
        timeout_s=None if parameters.timeout is None else parameters.timeout.total_seconds(),
    )


def command_line(parameters: Run | RunCaptured) -> str:
    """A command as a person would type it; to be read, and never to be given to a shell."""
    names = "".join(f"{name}=… " for name in parameters.environment)
    where = "" if parameters.cwd == "." else f"  (in {parameters.cwd})"
    return safe_line(f"$ {names}{shlex.join(parameters.argv)}{where}")


def require_success(
    ran: Ran,
    *,
    check: bool,
    success: Collection[int] = (0,),
    hint: str = "its last words stand with this; with `check: false` an exit code is not a failure",
    limits: Mapping[str, str] | None = None,
) -> None:
    """Refuse a program that was ended, or that failed: with an exit code that is none of `success`. One that could not act has
    had no effect: nobody has its writes.

    `limits`: how one is raised, where that is not `[sandbox]`. Raises PROGRAM_LIMIT, PROGRAM_FAILED, SANDBOX_FAILED and
    CALL_CANCELLED, as `NoEffectError` or `WorldError`.
    """
    if ran.limit is None and (ran.exit_code in success or not check):
        return
    kind: type[AssentError] = WorldError if ran.may_act else NoEffectError
    details = {**ran.told(), **ends(ran.folder), "limit": ran.limit}
    if ran.limit == "killed":
        raise kind("CALL_CANCELLED", "the call was cancelled while its program ran", details=details)
    if ran.limit == "lost":
        what = "somebody ended what held the program, and the program with it"
        raise kind("SANDBOX_FAILED", what, hint="call it again", details=details)
    if ran.limit is not None:
        key = ran.limit.removesuffix("_s")  # The file gives times as durations.
        longer = "give it more time with `timeout` where the call sets one, or " if key == "wall" else ""
        raised = (limits or {}).get(ran.limit, f"raise `{key}` under `[sandbox]`")
        raise kind(
            "PROGRAM_LIMIT",
            f"the program was ended by its limit `{key}`",
            hint=f"{longer}{raised}, or give the program less to do",
            details=details,
        )
    how = f"exit code {ran.exit_code}" if ran.exit_code is not None else f"signal {ran.signal}"
    raise kind(
        "PROGRAM_FAILED",
        f"the program ended with {how}",
        hint=hint,
        details=details,
    )
