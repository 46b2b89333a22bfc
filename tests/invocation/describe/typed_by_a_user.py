"""What somebody who writes capabilities writes: `mypy` passes what is right without a cast, and each line that is wrong is found.

One that were not found would leave an unused `ignore`, which is an error too. Nothing runs this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from assent import LocalContext, Runtime, capability
from assent.invocation import HookedCall, Prepared, Preview
from assent.spec.types import Duration, Email, SecretReference, Size


class Mail(BaseModel):
    to: Email
    after: Duration
    token: SecretReference
    limit: Size = 10


@dataclass
class Sent:
    count: int


@capability("mail.send", operation="NETWORK", risk="CRITICAL")
async def send(context: LocalContext, mail: Mail) -> Sent:
    return Sent(len(mail.to) + mail.limit + int(mail.after.total_seconds()))


@send.before
def in_office_hours(call: HookedCall) -> None:
    assert call.principal.id


@send.after(timeout_s=2.5, retries=1)
async def told(call: HookedCall) -> None:
    assert call.output


@send.preview
def shown(mail: Mail) -> Preview:
    return Preview("text", mail.to)


@capability("mail.move", operation="WRITE", risk="MEDIUM", reversible=True)
def move(name: Annotated[str, Field(min_length=1)], target: str = "archive") -> int:
    return len(name + target)


@move.prepare
def before(name: str) -> Prepared:
    return Prepared({"name": name})


@move.compensate
def back(context: LocalContext, prepared: dict[str, str]) -> None:
    assert prepared["name"], context.run


def register(rt: Runtime) -> None:
    rt.register(send)
    rt.register(move)


number: int = move.function("a", target="b")
text: str = before("a").state["name"]  # type: ignore[assignment]  # not text
wrong: str = move.function("a", target="b")  # type: ignore[assignment]  # not text
move.function(5)  # type: ignore[arg-type]  # not a name
capability("x.y", operation="GUESS", risk="LOW")  # type: ignore[arg-type]  # no such operation
