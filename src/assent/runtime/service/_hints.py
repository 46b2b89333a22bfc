"""Hints at a door, in that door's words: what a command line would do, as what can be asked there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from assent.errors import AssentError
from assent.runtime.service import requests as ask
from assent.runtime.service.requests import Request

_COMMANDS: Final[Mapping[str, type[Request[Any]]]] = {  # `Any`: each has its own answer
    "approvals": ask.Approvals,
    "approve": ask.Approve,
    "audit erase": ask.Erase,
    "audit log": ask.AuditLog,
    "audit verify": ask.VerifyLedger,
    "call": ask.Call,
    "cancel": ask.Cancel,
    "capability history": ask.CapabilityHistory,
    "capability list": ask.Capabilities,
    "capability retire": ask.Retire,
    "capability show": ask.Capability,
    "close": ask.CloseSession,
    "deliveries": ask.Deliveries,
    "doctor": ask.Doctor,
    "key list": ask.Keys,
    "key revoke": ask.RevokeKey,
    "plan": ask.Plan,
    "plugin list": ask.Plugins,
    "policy check": ask.CheckPolicy,
    "reject": ask.Reject,
    "resolve": ask.Resolve,
    "resume": ask.Resume,
    "run": ask.Run,
    "runs": ask.Runs,
    "scan tools": ask.Scanners,
    "schedule list": ask.Schedules,
    "schedule remove": ask.RemoveSchedule,
    "schedule show": ask.Schedule,
    "secrets list": ask.Secrets,
    "secrets rotate": ask.RotateSecret,
    "secrets confirm": ask.ConfirmSecret,
    "secrets undo": ask.UndoSecret,
    "show": ask.Show,
    "signal": ask.Signal,
    "undo": ask.Undo,
}
"""Commands that hints name, each with the operation that it is."""

_COMMAND: Final = re.compile(r"`assent ([a-z]+)(?: ([a-z]+)(?![^ `]))?(?: ([^-` ][^` ]*))?[^`]*`")
_NAMED: Final = re.compile(r"\{[^}]*\}")


def hint_at_door(error: AssentError, said: Callable[[type[Request[Any]]], str | None]) -> str | None:
    """The hint of an error where no commands are typed; `said` is how an operation is asked for there, None where it can't be.

    A command that is no operation is for whoever runs the daemon, and is told as that.
    """

    def there(found: re.Match[str]) -> str:
        both = f"{found[1]} {found[2]}"
        kind, named = (
            (_COMMANDS[both], found[3])
            if both in _COMMANDS
            else (_COMMANDS.get(found[1]), found[2] or found[3])
        )
        way = None if kind is None else said(kind)
        if way is None:
            return f"{found[0]} on the daemon's machine"
        return f"`{_NAMED.sub(lambda name: named or name[0], way, count=1)}`"

    return None if error.hint is None else _COMMAND.sub(there, error.hint)
