"""No secret that was handed out enters a file or what an undo keeps: whatever would write one is refused before it does.

What stands in the workspace already stays there, and an undo puts it back as it was.
"""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pygit2
import pytest

from assent import Runtime
from assent.engine import RunResult
from assent.errors import Json
from assent.invocation import Handler, LocalContext, NoEffectError, Prepared
from assent.invocation.call.exposure import unexposed
from assent.sandbox import Sandbox
from assent.secrets.redaction import Redactor
from assent.spec import create_read_capability, create_write_capability
from assent.spec.secret_text import TEXT_FORMAT
from tests.support.web import Asked, Reply, Site, serving

VALUE: Final = 'k9Qw-"7zR2&mB4x'
CODED: Final = base64.b64encode(f"key: {VALUE}".encode())
TEXT: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {"text": {"type": "string", "format": TEXT_FORMAT}},
}
CONFIGURATION: Final = """\
[net.rules.service]
hosts = ["127.0.0.1"]
schemes = ["http"]
ports = [{port}]
methods = ["GET"]
private = ["127.0.0.1/32"]
[exec.rules.tests]
programs = ["sh"]
[secrets.key]
capabilities = ["*"]
"""
POLICY: Final = """\
version: 1
default: ALLOW
rules:
  - id: open
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: nobody is there to be asked
"""


def echo(asked: Asked) -> Reply:
    key = asked.headers.get("x-key", "")
    body = b"x" * 100_000 + key.encode("latin-1") + b"y" * 100_000
    if asked.path == "/coded":
        body = base64.encodebytes(body)
    return Reply(200, [], body if asked.path != "/plain" else b"nothing of it")


async def reveal(context: LocalContext, parameters: dict[str, Any]) -> int:
    return len(await context.reveal(parameters["text"]))


async def write(context: LocalContext, parameters: dict[str, Any]) -> None:
    """An author's own capability, which writes what it was given."""
    shown = await context.reveal(parameters["text"])
    files = context.world.files
    await asyncio.to_thread(files.write, "own.txt", [shown[:5].encode(), shown[5:].encode()], key=context.key)


def keep(context: LocalContext, parameters: dict[str, Any]) -> Prepared:
    """One that keeps what it found."""
    return Prepared({}, (context.blobs.put(context.world.files.read(".env")),))


def nothing(context: LocalContext, parameters: dict[str, Any]) -> None:
    pass


class House:
    """A workspace with a file that holds the value, and the state beside it."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.root, self.state = folder / "workspace", folder / "state"
        self.site = site
        self.root.mkdir()
        (self.root / "assent.toml").write_text(
            'policy = "policy.yaml"\n' + CONFIGURATION.format(port=site.port)
        )
        (self.root / "policy.yaml").write_text(POLICY)
        (self.root / ".env").write_bytes(b"KEY=" + VALUE.encode())
        (self.root / "coded.txt").write_bytes(CODED)
        (self.root / "plain.txt").write_text("plain")

    @asynccontextmanager
    async def open(self, *, knows: bool = True) -> AsyncIterator[Runtime]:
        async with Runtime.open(self.root, state=self.state) as rt:
            rt.register(create_read_capability("probe.reveal", parameters=TEXT, returns={}), reveal)
            rt.register(
                create_write_capability("probe.write", parameters=TEXT), Handler(write, compensate=nothing)
            )
            rt.register(
                create_write_capability("probe.keep"), Handler(nothing, prepare=keep, compensate=nothing)
            )
            if knows:
                await self.learn(rt)
            yield rt

    async def learn(self, rt: Runtime) -> None:
        """From here on the runtime knows the value."""
        assert (await rt.call("probe.reveal", {"text": "secret://key"})).status == "succeeded"

    def files(self) -> dict[str, bytes]:
        """Every file of the workspace but git's own."""
        found = (path for path in sorted(self.root.rglob("*")) if path.is_file() and ".git" not in path.parts)
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def traces(self) -> list[str]:
        """Files of the state that hold the value, as it is or as the workspace's file has it."""
        every = (path for path in self.state.rglob("*") if path.is_file())
        return [
            str(path) for path in every if any(one in path.read_bytes() for one in (VALUE.encode(), CODED))
        ]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("ASSENT_SECRET_KEY", VALUE)
    with serving(echo) as site:
        yield House(tmp_path, site)


def code_of(result: RunResult) -> str | None:
    return str(result.error["code"]) if result.error is not None else None


async def test_a_download_that_echoes_a_secret_leaves_nothing(house: House) -> None:
    """Nothing of it reaches the disk, and the folders made for it go."""
    before = house.files()
    async with house.open(knows=False) as rt:
        given: dict[str, Json] = {
            "path": "new/deep/file",
            "headers": {"x-key": "secret://key"},
            "create_dirs": True,
        }
        for path in ("/", "/coded"):
            result = await rt.call("net.http.download", {**given, "url": house.site.url(path)})
            assert (result.status, code_of(result)) == ("failed", "SECRET_EXPOSED"), result.error
            assert house.files() == before
            assert not (house.root / "new").exists()
        result = await rt.call("net.http.download", {**given, "url": house.site.url("/plain")})
        assert result.status == "succeeded", result.error
    assert (house.root / "new/deep/file").read_bytes() == b"nothing of it"
    assert house.traces() == []


def packed(content: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", content * 50)
    return into.getvalue()


REFUSED: Final[dict[str, tuple[str, dict[str, Json]]]] = {
    "replaced, and kept for the undo": ("io.fs.write_file", {"path": ".env", "content": "new"}),
    "replaced, encoded": ("io.fs.write_file", {"path": "coded.txt", "content": "new"}),
    "deleted, and kept for the undo": ("io.fs.delete", {"path": ".env"}),
    "patched": (
        "io.fs.patch",
        {"diff": "--- a/more.txt\n+++ b/more.txt\n@@ -1 +1 @@\n-first\n+other\n"},
    ),
    "copied": ("io.fs.copy", {"source": ".env", "destination": "copy"}),
    "packed": ("sys.archive.pack", {"sources": [".env", "plain.txt"], "destination": "a.tar.gz"}),
    "unpacked": ("sys.archive.unpack", {"source": "in.zip", "destination": "out"}),
    "committed": ("sys.git.commit", {"repository": "repo", "message": "m", "paths": ["repo/.env"]}),
    "written by an author's own": ("probe.write", {"text": "secret://key"}),
    "kept by an author's own": ("probe.keep", {}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_would_write_or_keep_a_secret_is_refused(house: House, case: str) -> None:
    """In the plan, where that can know it, as in the run."""
    capability, given = REFUSED[case]
    (house.root / "in.zip").write_bytes(packed(b"-" + VALUE.encode()))
    (house.root / "more.txt").write_bytes(b"first\n" + VALUE.encode() + b"\n")
    repository = house.root / "repo"
    pygit2.init_repository(str(repository))
    shutil.copy(house.root / ".env", repository)
    before = house.files()
    async with house.open() as rt:
        if not capability.startswith("probe."):
            step: dict[str, Json] = {"name": "a", "capability": capability, "inputs": given}
            plan = await rt.plan({"name": "w", "version": "1.0.0", "steps": [step]})
            assert VALUE not in str(plan.to_json())
        result = await rt.call(capability, given)
        assert (result.status, code_of(result)) == ("failed", "SECRET_EXPOSED"), result.error
        assert VALUE not in str(result.to_json())
    assert house.files() == before
    assert house.traces() == []


async def test_what_a_program_wrote_is_not_taken_over_with_a_secret_in_it(house: House) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    before = house.files()
    command: dict[str, Json] = {"argv": ["sh", "-c", "cat .env; cat .env > mine; echo ok > other"]}
    step: dict[str, Json] = {"name": "a", "capability": "sys.exec.run_captured", "inputs": command}
    async with house.open() as rt:
        shown = await rt.plan({"name": "w", "version": "1.0.0", "steps": [step]}, execute_captured=True)
        assert VALUE not in str(shown.to_json())
        result = await rt.call("sys.exec.run_captured", command)
        assert (result.status, code_of(result)) == ("failed", "SECRET_EXPOSED"), result.error
    assert house.files() == before
    assert house.traces() == []


async def test_without_an_undo_nothing_is_kept_and_so_nothing_refused(house: House) -> None:
    step: dict[str, Json] = {
        "name": "a",
        "capability": "io.fs.delete",
        "inputs": {"path": ".env"},
        "undo": "none",
    }
    async with house.open() as rt:
        result = await rt.run({"name": "w", "version": "1.0.0", "steps": [step]})
        assert result.status == "succeeded", result.error
        moved = await rt.call("io.fs.move", {"source": "coded.txt", "destination": "elsewhere"})
        assert moved.status == "succeeded", moved.error
        assert (await rt.undo(moved.run_id)).status == "undone"
    assert not (house.root / ".env").exists()
    assert (house.root / "coded.txt").read_bytes() == CODED
    assert house.traces() == []


@pytest.mark.parametrize(
    ("capability", "given"),
    [
        ("io.fs.write_file", {"path": ".env", "content": "new"}),
        ("io.fs.delete", {"path": "tree", "recursive": True}),
    ],
)
async def test_an_undo_puts_back_what_is_known_for_a_secret_by_now(
    house: House, capability: str, given: dict[str, Json]
) -> None:
    """What was kept before anybody knew the value is put back to the byte, also where it is rehearsed first."""
    (house.root / "tree/deep").mkdir(parents=True)
    (house.root / "tree/deep/file").write_bytes(VALUE.encode())
    before = house.files()
    async with house.open(knows=False) as rt:
        result = await rt.call(capability, given)
        assert result.status == "succeeded", result.error
        assert house.files() != before
        await house.learn(rt)
        assert (await rt.undo(result.run_id)).status == "undone"
    assert house.files() == before


def test_a_stream_of_pieces_is_refused_before_any_byte_of_the_secret() -> None:
    redactor = Redactor()
    pieces = [bytes([one]) for one in b"a" * 500 + VALUE.encode() + b"b"]
    passed = bytearray()

    def pass_on() -> bytes:
        passed.clear()
        for piece in unexposed(redactor, pieces, "it", hint="leave it out"):
            passed.extend(piece)
        return bytes(passed)

    assert pass_on() == b"".join(pieces)
    redactor.add("key", VALUE)
    with pytest.raises(NoEffectError, match="it holds the value of the secret `key`") as caught:
        pass_on()
    assert caught.value.code == "SECRET_EXPOSED"
    assert set(passed) == {ord("a")}
    pieces = [b"c" * 300, b"d" * 300]
    assert pass_on() == b"".join(pieces)
