"""Reading a tool's output ends when nobody wants it any more, also while no record comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.findings import Desk
from assent.capabilities.findings.ingest import HEAD_BYTES, Pieces, normalise
from assent.findings.parsing import Tools, built_in_tools
from assent.invocation import LocalContext, NoEffectError
from assent.invocation.context.local import Surroundings
from tests.support.hands import Hands

PROJECT = "demo"


class App:
    """What the roof offers, as far as reading needs it."""

    def get(self, kind: type) -> Any:
        assert kind is Desk
        return self

    def tools(self) -> Tools:
        return Tools(built_in_tools())

    def now_ms(self) -> int:
        return 0


class Around(Surroundings):
    app: Any = App()


def context_in(folder: Path) -> LocalContext:
    return Hands(folder, Hands.on(folder).workspace, around=Around()).step("io.fs.find", path="x").context


@pytest.mark.parametrize(
    ("tool", "block"),
    [
        ("nmap", b"<nmaprun>" + b"<other/>" * 8_000),
        ("bandit", b'{"more": [' + b"{}," * 20_000),
        ("testssl", b'"id","fqdn/ip","port","severity","finding","cve","cwe"' + b"\n" * 60_000),
    ],
)
def test_a_cancelled_reading_ends_while_no_record_comes(
    tmp_path: Path, tool: str, block: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_in(tmp_path)
    raw = context.attach(iter([block, *[block[-3 * 8 :]] * 100_000]))
    reads = 0
    read = Pieces.read

    def counted(self: Pieces, size: int) -> bytes:
        nonlocal reads
        reads += size != HEAD_BYTES
        if reads == 3:
            context.cancel.cancel()
        return read(self, size)

    monkeypatch.setattr(Pieces, "read", counted)
    with pytest.raises(NoEffectError) as ended:
        normalise(context, project=PROJECT, raw=raw, tool=tool, tool_version="1", name="x")
    assert (ended.value.code, reads) == ("CALL_CANCELLED", 3)
