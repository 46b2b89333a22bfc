"""`assent serve` and `assent pipe`: let other programs in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli._exit import OK
from assent.cli.terminal._output import is_a_terminal
from assent.errors import InputError
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.server._serve import Served


@command("serve", watches=False, short_help="Serve this state to other programs until told to end.")
def serve(door: Door) -> int:
    """Own the state directory, drive every run, and open the doors that `[serve]` of assent.toml names.

    SIGTERM and Ctrl-C let what is under way end, within `drain`; what waits stays. SIGHUP reads the policy, `[identity]`,
    `[serve.issuers]`, `[serve.rate]` and `[app]` again.
    """
    import asyncio

    from assent.cli._main import internal_fault
    from assent.server._serve import Outside, Told
    from assent.server._serve import serve as serve_doors

    def ready(doors: list[Served]) -> None:
        if door.out.is_json:
            door.out.object({"doors": doors})
            return
        for one in doors:
            door.out.answer(f"{one.door}  {safe_line(one.address)}")

    async def until_told() -> None:
        told = Told()
        told.by_signals()
        outside = Outside(
            environ=door.environ,
            resolve=door.resolve,
            ready=ready,
            note=door.out.aside,
            fault=lambda error: internal_fault(door, error),
        )
        await serve_doors(door.settings, told, outside)

    with asyncio.Runner() as runner:
        runner.run(until_told())
    return OK


@command("pipe", watches=False, short_help="Serve one program through standard input and output.")
def pipe(door: Door) -> int:
    """Answer JSON-RPC 2.0 in frames until the input ends (docs/pipe.md). Nothing but frames goes to stdout.

    What is asked before the end is carried out; SIGTERM and Ctrl-C end it as they end `assent serve`.
    """
    import asyncio

    from assent.cli._main import internal_fault
    from assent.server.pipe._pipe import own_ends, serve

    door.out.is_json = False  # what keeps it from starting is no frame
    if is_a_terminal(sys.stdin):
        raise InputError(
            "USAGE_INVALID", "`assent pipe` reads frames from a program", hint="see docs/pipe.md"
        )
    settings = door.settings
    with own_ends() as ends, asyncio.Runner() as runner:
        runner.run(serve(settings, ends, lambda error: internal_fault(door, error)))
    return OK
