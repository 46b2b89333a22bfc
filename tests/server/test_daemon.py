"""`assent serve` as a process: its doors, its signals, who has the state, and what a kill leaves."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from assent.capabilities.findings import BOOK
from assent.findings._sqlite import alone
from assent.journal import hold_as_daemon, owner_pid
from assent.runtime.settings.effective import Settings
from tests.support.books import nuclei
from tests.support.patience import PATIENCE_S

WRITE = {"capability": "io.fs.write_file", "parameters": {"path": "a.txt", "content": "hi"}}


class Process:
    """A daemon of its own."""

    def __init__(self, root: Path, env: dict[str, str], **how: Any) -> None:
        command = [sys.executable, "-m", "assent", "--workspace", str(root), "serve"]
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
        )
        assert self.process.stdout is not None
        self.doors = dict([self.process.stdout.readline().split()])

    def http(self) -> httpx2.Client:
        transport = httpx2.HTTPTransport(uds=self.doors["socket"])
        return httpx2.Client(transport=transport, base_url="http://assent", timeout=PATIENCE_S)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """How it ends, and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@contextmanager
def started(root: Path, env: dict[str, str], **how: Any) -> Iterator[Process]:
    found = Process(root, env, **how)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
        found.process.communicate()


def assent(root: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "assent", "--workspace", str(root), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def until(said: str, found: Process) -> None:
    assert found.process.stderr is not None
    while said not in (line := found.process.stderr.readline()):
        assert line, said


def test_who_waits_for_another_process_to_fold_findings_keeps_no_daemon_from_ending(
    root: Path, env: dict[str, str]
) -> None:
    """Neither whoever reads them over HTTP, nor a call that looks at them."""
    (root / "assent.toml").write_text('policy = "policy.yaml"\n[serve]\ndrain = "1s"\n')
    (root / "scan.jsonl").write_bytes(nuclei([("rule-a", "high", "shop.example")]))
    state = Settings.resolve(workspace=root, environ=env, cwd=root).state
    with started(root, env) as found, found.http() as http, ThreadPoolExecutor(3) as pool:
        imports = {"capability": "findings.import", "parameters": {"project": "shop", "path": "scan.jsonl"}}
        assert http.post("/v1/calls", json=imports).json()["status"] == "succeeded"
        with alone(state / f"{BOOK}-lock", "the store", 0):
            looks = pool.submit(http.get, "/v1/findings")
            doctor = pool.submit(http.get, "/v1/doctor")
            gc = {"capability": "findings.gc", "parameters": {"project": "shop"}}
            calls = pool.submit(http.post, "/v1/calls", json=gc)
            time.sleep(1)
            assert not looks.done()
            assert not doctor.done()
            assert not calls.done()
            code, said = found.end()
        assert code == 0, said
        assert "never awaited" not in said
        assert looks.result().json()["error"]["code"] == "RUNTIME_CLOSED"
        (check,) = (one for one in doctor.result().json()["checks"] if one["name"] == "store of findings")
        assert check["status"] != "ok", check


def test_commands_speak_to_it_and_it_drains(root: Path, env: dict[str, str]) -> None:
    with started(root, env) as found:
        assert Path(found.doors["socket"]).stat().st_mode & 0o777 == 0o600
        called = assent(root, env, "call", "io.fs.write_file", "path=b.txt", "content=x", "-q")
        assert called.returncode == 0, called.stderr
        second = assent(root, env, "serve")
        assert second.returncode == 75
        assert f"process {found.process.pid}" in second.stderr
        policy = root / "policy.yaml"
        whole = policy.read_text()
        policy.write_text("rules: [")
        found.process.send_signal(signal.SIGHUP)
        until("not reloaded", found)
        with found.http() as http:
            assert http.post("/v1/calls", json=WRITE).json()["error"]["code"] == "POLICY_ERROR"
            policy.write_text(whole)
            found.process.send_signal(signal.SIGHUP)
            until("reloaded the policy", found)
            sleep = {"capability": "sys.sleep", "parameters": {"seconds": 0.5}}
            going = http.post("/v1/calls", json=sleep, headers={"prefer": "respond-async"})
            assert going.status_code == 202
        code, said = found.end()
        assert (code, "draining" in said) == (0, True)
        assert not Path(found.doors["socket"]).exists()
    shown = assent(root, env, "show", "@", "--json")
    assert '"status":"succeeded"' in shown.stdout  # what was under way had its time


def test_what_a_kill_left_goes_on_at_the_next_start(root: Path, env: dict[str, str]) -> None:
    with started(root, env) as found:
        with found.http() as http:
            sleep = {"capability": "sys.sleep", "parameters": {"seconds": 1}}
            answer = http.post("/v1/calls", json=sleep, headers={"prefer": "respond-async"})
            while http.get(answer.headers["location"]).json()["steps"][0]["status"] != "running":
                pass
        found.end(signal.SIGKILL)
    with started(root, env) as found, found.http() as http:
        while (run := http.get(answer.headers["location"]).json())["status"] not in ("succeeded", "failed"):
            time.sleep(0.05)
        assert run["status"] == "succeeded"
        assert found.end()[0] == 0


def test_a_service_manager_hands_over_the_socket_and_is_told(
    root: Path, env: dict[str, str], tmp_path: Path
) -> None:
    place, line = Path(env["XDG_RUNTIME_DIR"]) / "given.sock", Path(env["XDG_RUNTIME_DIR"]) / "notify"
    with socket.socket(socket.AF_UNIX) as given, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        given.bind(str(place))
        given.listen()
        manager.bind(str(line))
        manager.settimeout(PATIENCE_S)
        script = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid()); "
        script += "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        command = [
            sys.executable,
            "-c",
            script,
            str(given.fileno()),
            "-m",
            "assent",
            "--workspace",
            str(root),
            "serve",
        ]
        told = {**env, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "socket", "NOTIFY_SOCKET": str(line)}
        process = subprocess.Popen(
            command, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=[given.fileno()]
        )
        try:
            assert manager.recv(100) == b"READY=1"
            transport = httpx2.HTTPTransport(uds=str(place))
            with httpx2.Client(transport=transport, base_url="http://assent", timeout=PATIENCE_S) as http:
                assert http.get("/readyz").text == "ok\n"
            process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(timeout=PATIENCE_S) == 0
        finally:
            process.kill()
            process.communicate()
    assert place.exists()  # it is the manager's


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('http = "0.0.0.0:8420"', "CONFIG_INVALID"),
        ('http = "127.0.0.1:0"', "CONFIG_INVALID"),
        ('socket = "api.sock"', "CONFIG_INVALID"),
        ('socket = "/proc/1/nothing/api.sock"', "DOOR_TAKEN"),
    ],
)
def test_doors_that_can_not_be_opened_are_told_before_anything_is_owned(
    root: Path, env: dict[str, str], setting: str, said: str
) -> None:
    with (root / "assent.toml").open("a") as file:
        file.write(f"[serve]\n{setting}\n")
    refused = assent(root, env, "serve")
    assert refused.returncode in (1, 2)
    assert said in refused.stderr


@contextmanager
def owned(root: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command that owns the state."""
    words = ["--workspace", str(root), "call", "sys.sleep", "seconds=600"]
    with subprocess.Popen(
        [sys.executable, "-m", "assent", *words], env=env, stdout=subprocess.DEVNULL
    ) as process:
        try:
            settings = Settings.resolve(workspace=root, environ=env, cwd=root)
            while owner_pid(settings.state, runtime_dir=settings.runtime_dir()) is None:
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


@contextmanager
def begun(root: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A daemon that need not become ready."""
    command = [sys.executable, "-m", "assent", "--workspace", str(root), "serve"]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as found:
        try:
            yield found
        finally:
            found.kill()


@pytest.mark.slow
def test_a_command_that_owns_the_state_is_waited_for(root: Path, env: dict[str, str]) -> None:
    """Nearly every command owns it for a moment. A daemon that waits is the one daemon already."""
    with owned(root, env) as owner, begun(root, env) as first:
        assert first.stderr is not None
        assert first.stdout is not None
        told = first.stderr.readline()
        assert hold_as_daemon(root / ".assent") is None
        owner.kill()
        assert (f"process {owner.pid} " in told, "it has 5 s to end" in told) == (True, True), told
        assert first.stdout.readline().startswith("socket")
        first.terminate()
        assert first.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(("is_told_to_end", "code"), [(True, 0), (False, 75)])
def test_it_waits_no_longer_than_it_says(
    root: Path, env: dict[str, str], is_told_to_end: bool, code: int
) -> None:
    with owned(root, env), begun(root, env) as late:
        assert late.stderr is not None
        late.stderr.readline()
        if is_told_to_end:
            late.terminate()
        said, _ = late.communicate(timeout=PATIENCE_S)
        assert (late.returncode, said) == (code, "")
