"""A workspace with scanners: real ones where they are installed, and replay programs, which print what a real one wrote."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from assent.engine import RunResult
from assent.sandbox import Sandbox
from tests.support.bodies import Place, policy
from tests.support.scanned import GOLDEN

OURS = Path(sys.prefix, "bin")
"""Where scanners are that come with the tests."""

MORE = [one for one in [os.environ.get("ASSENT_TEST_SCANNERS")] if one]
"""A folder with more scanners, where there is one: some are too large to come with the tests."""

READABLE = [str(Path(sys.prefix)), str(Path(sys.base_prefix)), *(str(Path(one).parent) for one in MORE)]

REPLAY = """\
#!/usr/bin/env python3
import pathlib, sys
if sys.argv[1:2] in (["-version"], ["--version"]):
    print({version!r}, file=sys.stderr)
    raise SystemExit(0)
written = pathlib.Path(__file__).with_name({golden!r}).read_bytes()
if "--output" in sys.argv:
    pathlib.Path(sys.argv[sys.argv.index("--output") + 1]).write_bytes(written)
else:
    sys.stdout.buffer.write(written)
"""

PROBE = """\
tool = "probe"
title = "Probe"
about = "whatever its options say, for tests"
kind = "{kind}"
target = "url"
binary = ["probe"]
success = [0, 7]
args = ["{{target}}", ["--more", "{{more}}"], ["-p", "{{ports}}"], ["--noisy", "{{noisy}}"], ["--words", "{{words}}"]]

[version]
args = ["--version"]
pattern = "probe (?P<version>[0-9.]+)"

[output]
parser = "nuclei"

[limits]
time = "{time}"
output_bytes = 65536

[options.more]
type = "text"
about = "more places to go to"

[options.ports]
type = "ports"
about = "ports to name"

[options.noisy]
type = "flag"
about = "say very much"

[options.words]
type = "file"
about = "words to read"
"""

PROBING = """\
#!/usr/bin/env python3
import os, pathlib, sys, time, urllib.request
if "--version" in sys.argv:
    print("probe 1.0")
    raise SystemExit(0)
print(sys.argv[1:], file=sys.stderr, flush=True)
if "--noisy" in sys.argv:
    os.write(1, b"x" * 200_000)
if "--words" in sys.argv:
    print(pathlib.Path(sys.argv[sys.argv.index("--words") + 1]).read_text(), file=sys.stderr)
print(sorted(os.listdir()), file=sys.stderr)
more = sys.argv[sys.argv.index("--more") + 1].split(",") if "--more" in sys.argv else []
for place in [sys.argv[1], *more]:
    if place == "last":
        time.sleep(3600)
    try:
        with urllib.request.urlopen(place, timeout=5) as answer:
            print(place, answer.status, file=sys.stderr, flush=True)
    except Exception as error:
        print(place, error, file=sys.stderr)
raise SystemExit(int(os.environ.get("ENDS", "7")))
"""


class Web:
    """A weak server on loopback that counts who came, and sends them away where it is told to."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.away = ""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.paths.append(self.path)
                found = self.path.partition("?")[0] in {"/", "/admin"}
                body = (
                    b"<a href='/admin?q=1'>in</a><form action='/admin'><input name='q'></form>"
                    if found
                    else b""
                )
                self.send_response(302 if self.path == "/away" else 200 if found else 404)
                if self.path == "/away":
                    self.send_header("Location", web.away)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # a scanner hangs up when it likes

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    """A server in the scope."""
    one = Web()
    yield one
    one.close()


@pytest.fixture
def outside() -> Iterator[Web]:
    """A server that is not."""
    one = Web()
    yield one
    one.close()


@pytest.fixture(scope="session")
def confined() -> None:
    """Skips where nothing confines programs."""
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")


@pytest.fixture(scope="session")
def held(confined: None) -> None:
    """Skips where no network ends at a scope."""
    with Sandbox.detect() as sandbox:
        if (missing := sandbox.scope_missing()) is not None:
            pytest.skip(f"no scope holds on this machine: {missing}")


class Yard:
    """A workspace whose scanners are in `bin`, beside it."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.place.policy = policy(
            {
                "id": "open",
                "when": {"principal": "user:*"},
                "decision": "ALLOW",
                "without_approval": True,
                "reason": "nobody is there to be asked",
            }
        )
        self.work = self.place.settings().workspace
        self.bin = root / "bin"
        self.bin.mkdir()
        self.configure()

    def configure(self, more: str = "", *, scope: str = "") -> None:
        """The settings: these lines under `[scan]`, and these under its scope."""
        paths = [str(self.bin), str(OURS), *MORE]
        tools = 'tools = "scanners"\n' if (self.work / "scanners").exists() else ""
        policy = 'policy = "policy.yaml"\n' if (self.work / "policy.yaml").exists() else ""
        text = f"{policy}[scan]\npaths = {paths}\nread_only = {READABLE}\n{tools}{more}\n"
        (self.work / "assent.toml").write_text(text + (f"[scan.scope]\n{scope}\n" if scope else ""))

    def program(self, name: str, text: str) -> Path:
        """A program in `bin`."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def replay(self, name: str, version: str, golden: str) -> None:
        """A program that says this version and prints what a real one wrote."""
        shutil.copy(GOLDEN / golden, self.bin / golden)
        self.program(name, REPLAY.format(version=version, golden=golden))

    def probe(self, scope: str, *, kind: str = "active", time: str = "60s", more: str = "") -> None:
        """A scanner that goes wherever it is told."""
        (self.work / "scanners").mkdir(exist_ok=True)
        (self.work / "scanners/probe.toml").write_text(PROBE.format(kind=kind, time=time))
        self.program("probe", PROBING)
        self.configure(more, scope=scope)

    async def run(self, kind: str, tool: str, target: str, **options: Any) -> RunResult:
        """Scan."""
        async with self.place.open(box=False) as rt:
            return await rt.call(
                f"scan.{kind}", {"tool": tool, "target": target, "project": "demo", "options": options}
            )

    async def scanned(self, kind: str, tool: str, target: str, **options: Any) -> dict[str, Any]:
        """Scan, and what came of it."""
        result = await self.run(kind, tool, target, **options)
        assert result.status == "succeeded", result.error
        found: Any = result.steps[0].output
        return dict(found)


@pytest.fixture
def yard(tmp_path: Path, confined: None) -> Yard:
    """A workspace with scanners."""
    return Yard(tmp_path)


@pytest.fixture
def needs() -> Callable[[str], None]:
    """Skips, by its name, where a scanner is not installed."""

    def need(name: str) -> None:
        if (
            shutil.which(name, path=":".join([str(OURS), *MORE, "/usr/local/bin", "/usr/bin", "/bin"]))
            is None
        ):
            pytest.skip(f"{name} is not installed")

    return need
