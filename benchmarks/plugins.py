"""What a call costs in a plugin's worker, beside the same call in Assent's own process: `python -m benchmarks.plugins [--quick]`.

The plugin has one capability that gives back what it is given, and one that reads a file of the workspace. A call here is the
part alone, with its inputs validated before and its output after: what stands around it is the same either way. The cold start is
from nothing to the first answer: the process, its walls, Python, Assent, the plugin. Wall-clock time, medians.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, Final

from assent import system
from assent.capabilities.fs import Workspace
from assent.invocation import BoundCapability, Invoker, LocalContext
from assent.journal import MemoryBlobs
from assent.plugins import CheckedPlugin, Declaration, InProcessHost, PluginHost, SourceKind, scan
from assent.plugins.source._code import PluginCode
from assent.plugins.worker import KnownRegistrations, WorkerHost
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._plugin_hosts import Launcher
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

CALL_MS_MAX: Final = 2.0
"""A call in a worker; a handler that does anything takes longer by itself."""

START_S_MAX: Final = 2.0

PLUGIN: Final = '''\
"""Gives back what it is given."""

from assent import LocalContext, capability


@capability("bench.echo", operation="READ", risk="LOW")
async def echo(text: str) -> str:
    """Give the text back."""
    return text


@capability("bench.read", operation="READ", risk="LOW")
def read(context: LocalContext, path: str) -> int:
    """Read a file."""
    return sum(map(len, context.world.files.read(path)))
'''
MEASURED: Final = (
    ("echo of 10 bytes", "bench.echo", {"text": "x" * 10}),
    ("echo of 100 kB", "bench.echo", {"text": "x" * 100_000}),
    ("read a file of 1 MB", "bench.read", {"path": "file"}),
)


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure both hosts on the same plugin."""
    root, state = folder / "workspace", folder / "state"
    root.mkdir()
    state.mkdir()
    (root / "file").write_bytes(bytes(1_000_000))
    plugin = bench_plugin()
    settings = Settings.resolve(
        workspace=root, state=state, environ={**system.environment(), "HOME": str(folder)}, cwd=root
    )
    launcher = Launcher(settings)
    workers = WorkerHost(
        launcher.launch,
        spawn=system.spawn,
        known=KnownRegistrations(None, assent="bench"),
        environ={},
        spare=0,
    )
    world = Workspace.open(root, hidden=state)
    count = 200 if quick else 2_000
    with ThreadPoolExecutor(max_workers=1) as threads:
        try:
            starts = [first_answer(workers, plugin) for _ in range(3 if quick else 7)]
            confined = asyncio.run(calls(workers, plugin, world, threads, count))
            inside = asyncio.run(calls(InProcessHost(), plugin, world, threads, count))
        finally:
            workers.close()
            launcher.close()
            world.close()
    show(
        "a part of a plugin",
        ["", "in process, µs", "in a worker, µs", "ratio", "more, µs"],
        [
            [
                name,
                number(inside[name]),
                number(confined[name]),
                number(confined[name] / inside[name]),
                number(confined[name] - inside[name]),
            ]
            for name, _, _ in MEASURED
        ],
    )
    show("a worker", ["", "ms"], [["from nothing to what the plugin brings", number(median(starts) * 1000)]])
    data = {"in_process_us": inside, "worker_us": confined, "cold_start_s": median(starts)}
    targets = [
        Target(
            "a small call in a worker, ms", confined["echo of 10 bytes"] / 1000, CALL_MS_MAX, at_least=False
        ),
        Target("the cold start of a worker, s", median(starts), START_S_MAX, at_least=False),
    ]
    return Part("plugins", data, targets)


def bench_plugin() -> CheckedPlugin:
    """The plugin, as if it were trusted."""
    files = {"bench_plugin.py": PLUGIN.encode()}
    manifest = scan(files, Declaration(name="bench"), SourceKind.FILE)
    code = PluginCode(files, {name: f"/plugins/{name}" for name in files})
    return CheckedPlugin("bench", "bench_plugin", code, manifest, native=False)


def first_answer(host: WorkerHost, plugin: CheckedPlugin) -> float:
    """Seconds until a worker has told what the plugin brings."""
    began = time.perf_counter()
    loaded = host.load(plugin)
    took = time.perf_counter() - began
    host.unload(loaded)
    return took


async def calls(
    host: PluginHost, plugin: CheckedPlugin, world: Workspace, threads: ThreadPoolExecutor, count: int
) -> dict[str, float]:
    """The median of each measured call, in µs."""
    loaded = host.load(plugin)
    bound = {spec.id: BoundCapability(spec, handler) for spec, handler in loaded.capabilities}
    invoker, blobs = Invoker(threads), MemoryBlobs()

    def call(capability: str, inputs: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        one = bound[capability]

        async def once() -> None:
            context = LocalContext(
                run=RunId("run_1"),
                step=StepKey("call"),
                attempt=1,
                principal=Principal.parse("user:ann"),
                key="key",
                world=world,
                blobs=blobs,
            )
            parameters, _ = one.parse(inputs)
            one.result(await invoker.invoke(one.handler.execute, context, parameters))

        return once

    found = {}
    for name, capability, inputs in MEASURED:
        once = call(capability, inputs)
        for _ in range(20):
            await once()
        times = []
        for _ in range(count // 10 if "MB" in name else count):
            began = time.perf_counter_ns()
            await once()
            times.append((time.perf_counter_ns() - began) / 1000)
        found[name] = median(times)
    host.unload(loaded)
    return found


if __name__ == "__main__":
    run_part(measure, __doc__)
