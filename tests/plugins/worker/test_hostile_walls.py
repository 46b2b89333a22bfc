"""A worker reaches nothing but what its manifest declares: no home, journal, key or workspace, no network, no program."""

from __future__ import annotations

import inspect
import linecache
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

from assent.plugins import Permissions
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._plugin_hosts import Launcher
from assent.sandbox import Sandbox
from tests.support.workers import Stage, plugin_of, staged

SOURCE = '''\
"""A plugin that looks around."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

from assent import capability


def tried(act):
    try:
        return f"reached {act()}"
    except BaseException as error:
        return f"denied: {type(error).__name__} {error}"


@capability("sample.read", operation="READ", risk="LOW")
def read(path: str) -> str:
    """Read a file of the machine."""
    return tried(Path(path).read_text)


@capability("sample.names", operation="READ", risk="LOW")
def names(path: str) -> str:
    """List a folder of the machine."""
    return tried(lambda: sorted(os.listdir(path)))


@capability("sample.write", operation="READ", risk="LOW")
def write(path: str) -> str:
    """Write a file of the machine."""
    return tried(lambda: Path(path).write_text("sly"))


@capability("sample.connect", operation="READ", risk="LOW")
def connect(host: str, port: int) -> str:
    """Connect to somebody."""
    return tried(lambda: socket.create_connection((host, port), timeout=5).close())


@capability("sample.resolve", operation="READ", risk="LOW")
def resolve(host: str) -> str:
    """Look a name up."""
    return tried(lambda: socket.getaddrinfo(host, 80))


@capability("sample.send", operation="READ", risk="LOW")
def send(kind: str, host: str, port: int) -> str:
    """Send something without asking anybody."""
    def out():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        how = {"udp": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW, "tcp": socket.SOCK_STREAM}[kind]
        with socket.socket(family, how) as own:
            own.settimeout(5)
            own.connect((host, port))
            own.send(b"x")
    return tried(out)


@capability("sample.start", operation="READ", risk="LOW")
def start(how: str) -> str:
    """Start another process."""
    match how:
        case "fork":
            def fork():
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)
                return "a child"
            return tried(fork)
        case "exec":
            return tried(lambda: os.execv("/bin/true", ["/bin/true"]))
        case "spawn":
            return tried(lambda: os.posix_spawn("/bin/true", ["/bin/true"], {}))
        case _:
            return tried(lambda: subprocess.run(["/bin/true"], check=True).returncode)


@capability("sample.kill", operation="READ", risk="LOW")
def kill(pid: int) -> str:
    """Signal a process."""
    return tried(lambda: os.kill(pid, 0))


@capability("sample.trace", operation="READ", risk="LOW")
def trace(pid: int) -> str:
    """Trace a process."""
    def attach():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, pid, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        return "it"
    return tried(attach)


@capability("sample.environment", operation="READ", risk="LOW")
def environment() -> list[str]:
    """Tell which variables there are."""
    return sorted(os.environ)


@capability("sample.memory", operation="READ", risk="LOW")
def memory(size: int) -> str:
    """Take memory, and touch all of it."""
    held = []
    for _ in range(size):
        held.append(b"x" * (1 << 20))
    return "reached"


@capability("sample.threads", operation="READ", risk="LOW")
def threads(count: int) -> str:
    """Start threads that never end."""
    def start():
        stop = threading.Event()
        for _ in range(count):
            threading.Thread(target=stop.wait, daemon=True).start()
        return count
    return tried(start)
'''


def confined(folder: Path) -> Launcher:
    """Starts workers as a runtime does for a workspace."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    settings = Settings.resolve(
        workspace=workspace, environ={"HOME": str(folder / "home")}, cwd=workspace, state=folder / "state"
    )
    return Launcher(settings)


@pytest.fixture(scope="module", autouse=True)
def _held() -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing confines programs on this machine")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("walls")
    for name in ("home", "state", "keys", "workspace"):
        (folder / name).mkdir()
        (folder / name / "private").write_text("secret")
    launcher = confined(folder)
    with staged(folder, plugin_of(SOURCE), launch=launcher.launch) as found:
        yield found
    launcher.close()


@pytest.mark.parametrize("name", ["home", "state", "keys", "workspace"])
async def test_private_files_are_not_there(stage: Stage, name: str) -> None:
    place = stage.root.parent / name / "private"
    assert place.read_text() == "secret"
    assert (await stage.execute("sample.read", {"path": str(place)})).startswith("denied")
    assert (await stage.execute("sample.names", {"path": str(place.parent)})).startswith("denied")
    assert (await stage.execute("sample.write", {"path": str(place)})).startswith("denied")
    assert place.read_text() == "secret"


@pytest.mark.parametrize("path", ["/etc/shadow", "/root/.ssh/id_ed25519", "/proc/PID/environ"])
async def test_the_machine_s_own_secrets_are_not_there(stage: Stage, path: str) -> None:
    place = path.replace("PID", str(os.getpid()))
    assert (await stage.execute("sample.read", {"path": place})).startswith("denied")


async def test_what_is_installed_can_not_be_changed(stage: Stage) -> None:
    place, before = pydantic.__file__, inspect.getsource(pydantic)
    assert (await stage.execute("sample.write", {"path": place})).startswith("denied")
    linecache.clearcache()
    assert inspect.getsource(pydantic) == before


async def test_nobody_can_be_connected_to(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (await stage.execute("sample.connect", {"host": "127.0.0.1", "port": port})).startswith(
            "denied"
        )
    assert (await stage.execute("sample.resolve", {"host": "example.com"})).startswith("denied")


@pytest.mark.parametrize("kind", ["udp", "raw", "tcp"])
@pytest.mark.parametrize("host", ["192.0.2.1", "169.254.169.254", "8.8.8.8", "2001:db8::1"])
async def test_no_socket_leads_out(stage: Stage, kind: str, host: str) -> None:
    assert (await stage.execute("sample.send", {"kind": kind, "host": host, "port": 53})).startswith("denied")


@pytest.mark.parametrize("how", ["fork", "exec", "spawn", "run"])
async def test_no_program_can_be_started(stage: Stage, how: str) -> None:
    assert (await stage.execute("sample.start", {"how": how})).startswith("denied")


@pytest.mark.parametrize("capability", ["sample.kill", "sample.trace"])
async def test_other_processes_are_out_of_reach(stage: Stage, capability: str) -> None:
    assert (await stage.execute(capability, {"pid": os.getpid()})).startswith("denied")


async def test_the_environment_is_clean(stage: Stage) -> None:
    found = await stage.execute("sample.environment")
    assert set(found) <= {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "LC_CTYPE", "OLDPWD", "SHLVL", "_"}


async def test_memory_and_threads_have_an_end(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With a worker of its own, which the sandbox may end a moment later than the call."""
    launcher = confined(tmp_path)
    request.addfinalizer(launcher.close)
    with staged(tmp_path, plugin_of(SOURCE), launch=launcher.launch) as stage:
        with pytest.raises(Exception, match=r"(?s).*") as ended:
            await stage.execute("sample.memory", {"size": 4096})
        # Where memory ends, it is the plugin that is told, or Python while it starts a thread, or nobody any more.
        assert type(ended.value).__name__ in {"WorldError", "MemoryError", "RuntimeError"}
        # Starting one more is refused, to the plugin or to what serves it, or all of it is ended: each is an end.
        try:
            told = await stage.execute("sample.threads", {"count": 500})
        except Exception as refused:  # noqa: BLE001  # the worker's own errors are made where they arrive
            told = type(refused).__name__
        assert told in {"WorldError", "RuntimeError"} or told.startswith("denied")


async def test_what_is_declared_is_there(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "file").write_text("public")
    asked = Permissions(
        network=("*", "http://127.0.0.1"),
        process=("true",),
        files=(str(shown), "relative"),
        environment=("DECLARED", "ABSENT"),
    )
    launcher = confined(tmp_path)
    request.addfinalizer(launcher.close)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        staged(tmp_path, plugin_of(SOURCE, permissions=asked), launch=launcher.launch) as stage,
    ):
        port = server.getsockname()[1]
        # A host that is declared is reached by `context.http`, and by no socket.
        connected = await stage.execute("sample.connect", {"host": "127.0.0.1", "port": port})
        assert connected.startswith("denied")
        assert await stage.execute("sample.read", {"path": str(shown / "file")}) == "reached public"
        assert (await stage.execute("sample.write", {"path": str(shown / "file")})).startswith("denied")
        assert await stage.execute("sample.start", {"how": "run"}) == "reached 0"
        assert "DECLARED" in await stage.execute("sample.environment")


async def test_a_worker_does_not_outlive_its_host(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    launcher = confined(tmp_path)
    request.addfinalizer(launcher.close)
    with staged(tmp_path, plugin_of(SOURCE), launch=launcher.launch) as stage:
        (slot,) = stage.host._slots
        worker = slot.worker
        assert worker is not None

    assert not worker.is_alive
    assert worker.ended.is_set()
