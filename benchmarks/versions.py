"""What a reference costs among 1 000 versions of one capability: seen before, seen for the first time, and after a change.

    python -m benchmarks.versions [--quick] [--json FILE]

p50 of single calls, beside a plain function call in the same process. What callers meet is "seen before": a run asks for
the same reference at each of its steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from assent.invocation import Handler
from assent.registry import CapabilityRegistry, LabelChange, RecordedVersion
from assent.runtime.capabilities._registered import Capabilities, FrozenCatalogue
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.words.reference import CapabilityReference
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

ID = "net.mail"
VERSIONS = 1_000
LIMIT_US = 2.0
START_MS = 1_790_812_800_000
REFERENCES = {
    "latest": ID,
    "exact": f"{ID}@5.4.2",
    "range": f"{ID}@^4.2",
    "label": f"{ID}@stable",
    "moment": f"{ID}@2026-10-01T00:05Z",
    "fingerprint": "",
}


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure all of it."""
    del folder  # nothing is written
    rounds = 2_000 if quick else 50_000
    specs = [_spec(index) for index in range(VERSIONS)]
    registry = _registry(specs)
    snapshot = registry.snapshot()
    references = {**REFERENCES, "fingerprint": f"{ID}@sha256:{specs[500].fingerprint[:12]}"}
    plain = _p50_us(lambda reference: reference, [ID] * rounds)
    rows: list[list[str]] = []
    data: dict[str, float] = {"plain_us": plain}
    for kind, reference in references.items():
        snapshot.resolve(reference)
        known = _p50_us(snapshot.resolution, [reference] * rounds)
        fresh = _p50_us(_afresh(registry, reference), [reference] * (rounds // 20))
        rows.append([kind, number(known), number(fresh), number(known / plain)])
        data |= {f"{kind}_known_us": known, f"{kind}_fresh_us": fresh}
    show(
        f"one of {VERSIONS} versions, p50 in µs (a plain call: {number(plain)})",
        ["reference by", "seen before", "for the first time", "plain calls"],
        rows,
    )
    found = _catalogue(specs)
    data["find_us"] = _p50_us(found.find, [f"{ID}@^4.2"] * rounds)
    data["label_moved_us"] = _change(registry, rounds // 500)
    show(
        "around it, p50 in µs",
        ["what", "µs"],
        [
            ["`find` of a step: the reference with its handler", number(data["find_us"])],
            ["the first resolution after a label moved", number(data["label_moved_us"])],
        ],
    )
    worst = max(data[f"{kind}_known_us"] for kind in references)
    name = f"versions: resolution among {VERSIONS}, p50 in µs"
    return Part("versions", data, [Target(name, worst, LIMIT_US, at_least=False)])


def _spec(index: int) -> CapabilitySpec:
    return create_read_capability(ID, version=f"{index // 100}.{index // 10 % 10}.{index % 10}")


def _registry(specs: list[CapabilitySpec]) -> CapabilityRegistry:
    registry = CapabilityRegistry()
    for change, spec in enumerate(specs):
        registry.register_capability(spec)
        at_ms = START_MS + change * 1000
        registry.remember_version(RecordedVersion(ID, spec.version, spec.fingerprint, change, at_ms))
    registry.remember_label(LabelChange(ID, "stable", VERSIONS, specs[700].version, START_MS))
    return registry


def _catalogue(specs: list[CapabilitySpec]) -> FrozenCatalogue:
    capabilities = Capabilities()
    handler = Handler(execute=lambda _context, _parameters: None)
    for spec in specs:
        capabilities.register(spec, handler)
    return capabilities.current()


def _afresh(registry: CapabilityRegistry, reference: str) -> Callable[[str], object]:
    """Resolves as if nobody had asked for this reference before."""
    snapshot = registry.snapshot()
    snapshot.resolve(reference)  # What is built once for a capability is not part of it.
    parse, index = CapabilityReference.parse, snapshot.index(ID)
    return lambda text: index.find(parse(text))


def _change(registry: CapabilityRegistry, rounds: int) -> float:
    times: list[float] = []
    for change in range(max(5, rounds)):
        registry.remember_label(
            LabelChange(ID, "stable", VERSIONS + 1 + change, f"{change % 10}.0.0", START_MS)
        )
        begun = time.perf_counter_ns()
        registry.resolve(f"{ID}@stable")
        times.append((time.perf_counter_ns() - begun) / 1_000)
    return statistics.median(times)


def _p50_us(act: Callable[[str], object], arguments: list[str]) -> float:
    """The median of single calls, without what reading the clock costs."""
    clock = time.perf_counter_ns
    for argument in arguments[:1_000]:
        act(argument)
    times: list[int] = []
    for argument in arguments:
        begun = clock()
        act(argument)
        times.append(clock() - begun)
    idle: list[int] = []
    for _ in arguments:
        begun = clock()
        idle.append(clock() - begun)
    return max(1, statistics.median(times) - statistics.median(idle)) / 1_000


if __name__ == "__main__":
    run_part(measure, __doc__)
