"""Mixed load on `assent serve`, which is killed again and again: what was acknowledged happened once, and nothing piles up.

    python -m tools.soak [SECONDS]

Calls, workflows, approvals, undos, cancels, signals to runs that wait, and keys that are made, used over TCP and revoked, each
under an idempotency key and asked for until it is answered; a schedule; watchers that leave in the middle and come back; requests
whose askers hang up and ask again. Every 20 s the daemon is killed (SIGKILL) and started again, and told to read its policy again
(SIGHUP) before. The last 40 s are one life, which rests in the middle and ends with SIGTERM. Exit code 1 when a promise was
broken; what was measured is printed either way.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

from assent.runtime.wiring.key_store import new_key
from assent.system import SystemEntropy

LIFE_S: Final = 20.0
WORKERS: Final = 8
WATCHERS: Final = 4
SETTLE_S: Final = 3.0
PAUSE_S: Final = 0.05
"""Between two commands of one worker: the load is steady, so that figures of different minutes can be compared."""

# At rest a connection more or less is still there, by turns; what leaks with each command would be hundreds.
POOL_THREADS: Final = min(32, (os.cpu_count() or 1) + 4)
"""What the loop's own pool of threads may still be filled up with."""

RSS_GROWTH_MAX: Final = 1.25
"""What a life may take at its end, in the last third of them, against the first third."""

TICK_MS: Final = 2_000
"""Between two runs of the schedule."""

POLICY: Final = """version: 1
rules:
  - {id: deletes, when: {operation_type: DELETE}, decision: REQUIRE_APPROVAL, reason: it is gone}
  - {id: rest, decision: ALLOW, reason: harmless}
"""


class Sample(NamedTuple):
    """What a process holds."""

    rss_kib: int
    threads: int
    descriptors: int
    sockets: int


class Daemon:
    """The lives of one daemon."""

    def __init__(self, root: Path, port: int) -> None:
        self._root = root
        self.port = port
        self._environ = {**os.environ, "HOME": str(root), "XDG_RUNTIME_DIR": "", "XDG_STATE_HOME": ""}
        self._errors = (root / "daemon.log").open("ab")
        self.process: subprocess.Popen[str] | None = None
        self.address = ""
        self.ready_ms: list[float] = []
        self.log = root / "daemon.log"

    def start(self) -> None:
        began = time.monotonic()
        self.process = subprocess.Popen(
            self._command("serve"), stdout=subprocess.PIPE, stderr=self._errors, text=True, env=self._environ
        )
        assert self.process.stdout is not None
        doors = [self.process.stdout.readline().split() for _ in range(2)]
        if [*map(len, doors)] != [2, 2]:
            raise SystemExit(f"the daemon does not start:\n{self.log.read_text()[-2000:]}")
        self.address = doors[0][1]
        self.ready_ms.append(1000 * (time.monotonic() - began))

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def end(self, *, kill: bool) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        (self.process.kill if kill else self.process.terminate)()
        code = self.process.wait(120)
        self.process.stdout.close()
        return code

    def sample(self) -> Sample:
        assert self.process is not None
        folder = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        kinds = []
        for one in (folder / "fd").iterdir():
            with suppress(FileNotFoundError):
                kinds.append(str(one.readlink()))
        sockets = sum(kind.startswith("socket:") for kind in kinds)
        return Sample(int(status["VmRSS"].split()[0]), int(status["Threads"]), len(kinds), sockets)

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words), capture_output=True, text=True, check=False, env=self._environ
        )

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "assent", "--workspace", str(self._root / "work"), *words]


class Load:
    """What is asked of it, and what was acknowledged."""

    def __init__(self, daemon: Daemon, work: Path) -> None:
        self._daemon = daemon
        self._work = work
        self._dice = random.Random(12)  # noqa: S311 - which command comes next is no secret
        self._count = 0
        self.ends = False
        self.runs: dict[str, str] = {}
        """The run of each command that was acknowledged."""
        self.broken: list[str] = []
        self.figures: Counter[str] = Counter()

    def _http(self, key: str | None = None) -> httpx2.AsyncClient:
        """A client of the socket; with a key, of the port."""
        if key is not None:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{self._daemon.port}", headers=headers, timeout=60
            )
        transport = httpx2.AsyncHTTPTransport(uds=self._daemon.address)
        return httpx2.AsyncClient(transport=transport, base_url="http://assent", timeout=60)

    async def _until_told(self, path: str, body: Any, key: str | None, *, leaves: bool = False) -> Any:
        """The answer, however often it takes to get one. `leaves`: the first time it is not waited for."""
        headers = {} if key is None else {"Idempotency-Key": key.replace(" ", ":")}
        while True:
            try:
                async with self._http() as http, asyncio.timeout(0.02 if leaves else 60):
                    answer = await http.post(path, json=body, headers=headers)
            except (httpx2.TransportError, TimeoutError):
                self.figures["left" if leaves else "asked again"] += 1
                leaves = False
                await asyncio.sleep(0.1)
                continue
            if answer.status_code in (429, 503):
                self.figures["told to come back"] += 1
                await asyncio.sleep(0.2)
                continue
            told = answer.json()
            if key is not None and "run_id" in told:
                before = self.runs.setdefault(key, told["run_id"])
                if before != told["run_id"]:
                    self.broken.append(f"{key} was begun twice: {before} and {told['run_id']}")
            return told

    def _expect(self, told: Any, status: str, what: str) -> bool:
        if told.get("status") == status:
            return True
        self.broken.append(f"{what}: {json.dumps(told)[:400]}")
        return False

    async def _settled(self, told: Any) -> Any:
        """A run that was under way when it was asked for, once it is not."""
        for _ in range(600):
            if told.get("status") not in ("pending", "running", "interrupted", "rolling_back", "undoing"):
                break
            await asyncio.sleep(0.1)
            with suppress(httpx2.TransportError):
                async with self._http() as http:
                    told = (await http.get(f"/v1/runs/{told['run_id']}")).json()
        return told

    async def _write(self, name: str, *, leaves: bool = False) -> Any:
        body = {"capability": "io.fs.write_file", "parameters": {"path": name, "content": name}}
        told = await self._settled(await self._until_told("/v1/calls", body, f"write {name}", leaves=leaves))
        if self._expect(told, "succeeded", f"write {name}") and (self._work / name).read_text() != name:
            self.broken.append(f"{name} is not what was written")
        return told

    async def call(self, name: str) -> None:
        await self._write(name)

    async def cancelled(self, name: str) -> None:
        await self._write(name, leaves=True)

    async def workflow(self, name: str) -> None:
        """Moving it a second time would fail."""
        steps = [
            {"name": "a", "capability": "io.fs.write_file", "inputs": {"path": name, "content": name}},
            {"name": "b", "capability": "io.fs.move", "inputs": {"source": name, "destination": f"{name}.b"},
             "depends_on": ["a"]},
        ]  # fmt: skip
        body = {"workflow": {"name": "soak", "steps": steps}}
        told = await self._settled(await self._until_told("/v1/runs", body, f"run {name}"))
        if self._expect(told, "succeeded", f"run {name}") and not (self._work / f"{name}.b").exists():
            self.broken.append(f"{name} was not moved")

    async def approval(self, name: str) -> None:
        await self._write(name)
        body = {"capability": "io.fs.delete", "parameters": {"path": name}}
        told = await self._settled(await self._until_told("/v1/calls", body, f"delete {name}"))
        if not self._expect(told, "waiting", f"delete {name}"):
            return
        run = told["run_id"]
        agreed = await self._until_told(f"/v1/runs/{run}/approve", {"unseen": True}, f"approve {name}")
        is_done = self._expect(await self._settled(agreed), "succeeded", f"approve {name}")
        if is_done and (self._work / name).exists():
            self.broken.append(f"{name} was not deleted")

    async def undo(self, name: str) -> None:
        told = await self._write(name)
        if told.get("status") != "succeeded":
            return
        undone = await self._until_told(f"/v1/runs/{told['run_id']}/undo", {}, f"undo {name}")
        if (
            self._expect(await self._settled(undone), "undone", f"undo {name}")
            and (self._work / name).exists()
        ):
            self.broken.append(f"{name} was not taken back")

    async def _waiting(self, name: str, wait: object) -> str | None:
        """A run that waits, if all is well."""
        steps = [{"name": "a", "wait": wait}, {"name": "b", "capability": "sys.noop"}]
        body = {"workflow": {"name": "soak", "steps": steps}}
        told = await self._settled(await self._until_told("/v1/runs", body, f"wait {name}"))
        return told["run_id"] if self._expect(told, "waiting", f"wait {name}") else None

    async def signal(self, name: str) -> None:
        if run := await self._waiting(name, {"signal": "go"}):
            body = {"name": "go", "payload": name}
            told = await self._until_told(f"/v1/runs/{run}/signal", body, f"signal {name}")
            self._expect(await self._settled(told), "succeeded", f"signal {name}")

    async def cancel(self, name: str) -> None:
        if run := await self._waiting(name, "10m"):
            told = await self._until_told(f"/v1/runs/{run}/cancel", {}, f"cancel {name}")
            self._expect(await self._settled(told), "cancelled", f"cancel {name}")

    async def key(self, name: str) -> None:
        """It opens from when it was made until it was revoked."""
        made = new_key(SystemEntropy())
        body = {"id": made.id, "digest": made.digest, "name": name}
        told = await self._settled(await self._until_told("/v1/keys", body, f"key {name}"))
        if not self._expect(told, "succeeded", f"key {name}"):
            return
        await self._opens(made.text, 200, name)
        told = await self._settled(await self._until_told(f"/v1/keys/{made.id}/revoke", {}, f"revoke {name}"))
        if self._expect(told, "succeeded", f"revoke {name}"):
            await self._opens(made.text, 401, name)

    async def _opens(self, key: str, status: int, name: str) -> None:
        for _ in range(600):
            with suppress(httpx2.TransportError):
                async with self._http(key) as http:
                    found = (await http.get("/v1/capabilities/sys.noop")).status_code
                if found != status:
                    self.broken.append(f"the key of {name} was answered with {found}, not {status}")
                return
            await asyncio.sleep(0.1)

    async def schedule(self) -> None:
        workflow = {"name": "ticks", "steps": [{"name": "a", "capability": "sys.noop"}]}
        body = {"name": "ticks", "workflow": workflow, "every": f"{TICK_MS}ms", "missed": "all"}
        self._expect(
            await self._settled(await self._until_told("/v1/schedules", body, "schedule")),
            "succeeded",
            "schedule",
        )

    async def work(self, number: int) -> None:
        """One command after the other, until the load ends."""
        kinds: list[Callable[[str], Awaitable[None]]] = [
            self.call,
            self.workflow,
            self.approval,
            self.undo,
            self.cancelled,
            self.signal,
            self.cancel,
            self.key,
        ]
        while not self.ends:
            self._count += 1
            kind = self._dice.choice(kinds)
            await kind(f"f{number}-{self._count}")
            self.figures[kind.__name__] += 1
            await asyncio.sleep(PAUSE_S)

    async def watch(self) -> None:
        """Listen to a run that is there, leave, and come back for what came meanwhile: each event is told once, in order."""
        while not self.ends:
            if self.runs:
                run, last = self._dice.choice([*self.runs.values()][-20:]), -1
                for _ in range(3):
                    last = await self._listen(run, last)
            await asyncio.sleep(PAUSE_S)

    async def _listen(self, run: str, last: int) -> int:
        headers = {"Last-Event-ID": str(last)} if last >= 0 else {}
        with suppress(httpx2.TransportError, TimeoutError):
            async with (
                self._http() as http, asyncio.timeout(self._dice.random()),
                http.stream("GET", f"/v1/runs/{run}/events", headers=headers) as answer,
            ):  # fmt: skip
                async for line in answer.aiter_lines():
                    if line.startswith("id:"):
                        if int(line[3:]) != last + 1:
                            self.broken.append(f"a listener to {run} heard {line} after {last}")
                        last = int(line[3:])
                        self.figures["events"] += 1
        return last


async def soak(seconds: float, root: Path) -> bool:
    """Whether every promise was kept."""
    work = root / "work"
    work.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (work / "assent.toml").write_text(f'policy = "policy.yaml"\n[serve]\nhttp = "127.0.0.1:{port}"\n')
    (work / "policy.yaml").write_text(POLICY)
    (work / "policy.yaml").chmod(0o600)
    daemon = Daemon(root, port)
    await asyncio.to_thread(daemon.start)
    load = Load(daemon, work)
    await load.schedule()
    grown: list[Sample] = []

    async def killed() -> None:
        ends = time.monotonic() + seconds - 2 * LIFE_S
        while time.monotonic() < ends:
            await asyncio.sleep(LIFE_S / 2)
            daemon.reload()
            await asyncio.sleep(LIFE_S / 2)
            grown.append(daemon.sample())
            daemon.end(kill=True)
            await asyncio.to_thread(daemon.start)
        await asyncio.sleep(LIFE_S)

    # The last life rests twice: what it holds the second time and did not the first time is held for nobody.
    idle = [await rested(daemon, load, killed()), await rested(daemon, load, asyncio.sleep(LIFE_S))]
    code = await asyncio.to_thread(lambda: daemon.end(kill=False))
    if code != 0:
        load.broken.append(f"SIGTERM ended it with {code}: {daemon.log.read_text()[-500:]}")
    load.broken[:0] = judged(daemon, load, idle, grown)
    report(daemon, load, idle, grown, seconds)
    return not load.broken


async def rested(daemon: Daemon, load: Load, meanwhile: Awaitable[None]) -> Sample:
    """What the daemon holds once the load has ended and everything asked for is answered."""
    load.ends = False
    tasks = [asyncio.create_task(load.work(number)) for number in range(WORKERS)]
    tasks += [asyncio.create_task(load.watch()) for _ in range(WATCHERS)]
    await meanwhile
    load.ends = True
    await asyncio.gather(*tasks)
    await asyncio.sleep(SETTLE_S)
    return daemon.sample()


def judged(daemon: Daemon, load: Load, idle: list[Sample], grown: list[Sample]) -> list[str]:
    """What the record and the process say that breaks a promise."""
    found: list[str] = []
    logs = (daemon.log.parent / "work" / ".assent" / "logs").glob("internal-*.log")
    found += [f"a fault of Assent: {log.read_text()[-1500:]}" for log in logs]
    verified = daemon.ask("audit", "verify", "--json")
    if verified.returncode != 0:
        found.append(f"the ledger does not verify: {verified.stdout[:500]}{verified.stderr[:500]}")
    lines = [json.loads(line) for line in daemon.ask("audit", "log", "--json").stdout.splitlines()]
    entries = lines[0] if len(lines) == 1 and isinstance(lines[0], list) else lines
    done: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        if entry["kind"] in ("run.created", "step.succeeded", "compensation.succeeded"):
            done[entry["run_id"], f"{entry['kind']} {entry['event'].get('step', '')}"] += 1
    twice = [what for what, count in done.items() if count > 1]
    if twice:
        found.append(f"happened twice: {twice[:5]}")
    asked = {entry["run_id"]: entry["event"] for entry in entries if entry["kind"] == "run.created"}
    ticks = [
        int(request.rpartition(":")[2])
        for one in asked.values()
        if (request := str(one.get("request"))).startswith("schedule:")
    ]
    if any(after - before != TICK_MS for before, after in pairwise(ticks)) or len(ticks) < 2:
        found.append(f"the schedule ran at {ticks}")
    begun = {run for run, one in asked.items() if not str(one.get("request")).startswith("schedule:")}
    later = ("approve", "undo", "signal", "cancel")
    acknowledged = {run for key, run in load.runs.items() if not key.startswith(later)}
    if begun != acknowledged:
        lost, unasked = len(acknowledged - begun), len(begun - acknowledged)
        found.append(f"{lost} acknowledged runs are not on record, and {unasked} that nobody asked for are")
    first, last = idle
    more = (last.threads - first.threads, last.sockets - first.sockets, last.descriptors - first.descriptors)
    if any(one > most for one, most in zip(more, (POOL_THREADS, WATCHERS, WATCHERS), strict=True)):
        found.append(f"at rest it held {first}, and after more load {last}")
    if len(grown) < 6:
        return found
    third = max(1, len(grown) // 3)
    before, after = (
        statistics.median(one.rss_kib for one in part) for part in (grown[:third], grown[-third:])
    )
    if after > before * RSS_GROWTH_MAX:
        found.append(f"a life took {before} KiB at its end, and then {after}")
    return found


def report(daemon: Daemon, load: Load, idle: list[Sample], grown: list[Sample], seconds: float) -> None:
    """Everything that was counted."""
    print(f"{seconds:.0f} s, {len(daemon.ready_ms)} lives, {len(load.runs)} commands acknowledged")
    print("  " + ", ".join(f"{name} {count}" for name, count in sorted(load.figures.items())))
    print(
        f"  ready after {statistics.median(daemon.ready_ms):.0f} ms (median), {max(daemon.ready_ms):.0f} ms at most"
    )
    print(f"  RSS at the end of each life, MiB: {' '.join(str(one.rss_kib // 1024) for one in grown)}")
    for name, one in zip(("at rest", "at rest again"), idle, strict=True):
        print(
            f"  {name}: {one.rss_kib // 1024} MiB, {one.threads} threads, {one.descriptors} descriptors, {one.sockets} sockets"
        )
    for fault in load.broken[:20]:
        print(f"  BROKEN: {fault}")
    print("every promise was kept" if not load.broken else f"{len(load.broken)} promises were broken")


def main() -> int:
    """Soak for as long as the first argument says, 20 minutes without one."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1200.0
    with tempfile.TemporaryDirectory(prefix="assent-soak-") as folder:
        return 0 if asyncio.run(soak(seconds, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
