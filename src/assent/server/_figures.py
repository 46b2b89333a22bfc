"""What an owner measures, in the text format that Prometheus reads (version 0.0.4).

Most of it is what `health` answers behind every door; the rest is of the doors and the process. `FIGURES` is the whole table: the
page of the documentation is written from it. The number of series is bounded as `Metrics` bounds names.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from assent import __version__
from assent.invocation import Metrics
from assent.system import SystemClock

if TYPE_CHECKING:
    from assent.runtime.service import answers
    from assent.server._exchanges import Exchange

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Samples: TypeAlias = "Iterable[tuple[tuple[str, ...], float]]"
"""The values of the labels, and the figure."""


class Figure(msgspec.Struct, frozen=True):
    """One family: how it is called, what kind it is, what it means, and by which labels it is told apart."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    means: str
    labels: tuple[str, ...] = ()
    values: Callable[[Observed], Samples] = lambda _: ()
    """For counters and gauges."""
    series: Callable[[Observed], Mapping[str, Any]] = lambda _: {}
    """For histograms: series of `Metrics.snapshot`, named by their labels with a space between."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What figures are taken from, of one moment."""

    health: answers.Health
    requests: Mapping[str, Any]
    """Series of `Metrics.snapshot`, named `DOOR OPERATION`; their outcomes are statuses."""
    connections: Mapping[str, int]
    streams: int
    limited: Mapping[str, int]
    cut: Mapping[tuple[str, ...], int]

    @property
    def counted(self) -> Any:
        """What the runtime has counted; `Any`: JSON of a known form."""
        return self.health.metrics


def _outcomes(series: Mapping[str, Any]) -> Samples:
    for name, one in series.items():
        for outcome, count in one["outcomes"].items():
            yield (*name.split(" "), outcome), count


def _each(table: Mapping[str, float]) -> Samples:
    return [(tuple(name.split(".", 1)), count) for name, count in table.items()]


def _codes(table: Mapping[str, float]) -> Samples:
    return [((name,), count) for name, count in table.items()]


_BEGAN_MS: Final = SystemClock().now_ms()

FIGURES: Final = (
    Figure("assent_info", "gauge", "always 1", ("version",), lambda _: [((__version__,), 1)]),
    Figure(
        "assent_healthy", "gauge", "1 while a part of `health` is `ok`, else 0", ("part",),
        lambda o: [((name,), one.status == "ok") for name, one in o.health.parts.items()],
    ),
    Figure(
        "assent_runs_open", "gauge", "runs that have not ended, as recorded", ("status",),
        lambda o: _codes(o.health.backlog.runs),
    ),
    Figure("assent_runs_driven", "gauge", "runs at work", (), lambda o: [((), o.health.admission.running)]),
    Figure("assent_runs_driven_max", "gauge", "`[limits] runs`", (), lambda o: [((), o.health.admission.runs)]),
    Figure("assent_runs_queued", "gauge", "runs that wait to begin", (), lambda o: [((), o.health.admission.queued)]),
    Figure("assent_runs_queued_max", "gauge", "`[limits] queue`", (), lambda o: [((), o.health.admission.queue)]),
    Figure(
        "assent_draining", "gauge", "1 once nothing more is begun", (), lambda o: [((), o.health.admission.is_draining)]
    ),
    Figure(
        "assent_approvals_waiting", "gauge", "questions that wait for a person", (),
        lambda o: [((), o.health.backlog.approvals)],
    ),
    Figure(
        "assent_deliveries_waiting", "gauge", "webhooks in the outbox", (), lambda o: [((), o.health.backlog.deliveries)]
    ),
    Figure("assent_ledger_entries", "gauge", "entries of the ledger", (), lambda o: [((), o.health.backlog.entries)]),
    Figure("assent_ledger_bytes", "gauge", "its files", (), lambda o: [((), o.health.backlog.bytes)]),
    Figure(
        "assent_calls_total", "counter", "attempts that have ended, by how", ("capability", "outcome"),
        lambda o: _outcomes(o.counted["calls"]),
    ),
    Figure(
        "assent_call_duration_seconds", "histogram", "how long an attempt took", ("capability",),
        series=lambda o: o.counted["calls"],
    ),
    Figure(
        "assent_hook_duration_seconds", "histogram", "how long a hook took: `LEVEL.KIND`", ("hook",),
        series=lambda o: o.counted["hooks"],
    ),
    Figure("assent_errors_total", "counter", "errors of attempts", ("code",), lambda o: _codes(o.counted["errors"])),
    Figure(
        "assent_runs_stopped_total", "counter",
        "runs that were stopped by what is no outcome of their steps, as a full disk is; they are tried again", ("code",),
        lambda o: _codes(o.counted["stops"]),
    ),
    Figure(
        "assent_decisions_total", "counter", "answers of the policy", ("decision",), lambda o: _codes(o.counted["decisions"])
    ),
    Figure(
        "assent_validations_total", "counter", "checks of values", ("side", "outcome"), lambda o: _each(o.counted["validations"])
    ),
    Figure(
        "assent_secret_accesses_total", "counter", "accesses to secrets", ("outcome",), lambda o: _codes(o.counted["secrets"])
    ),
    Figure(
        "assent_http_requests_total", "counter",
        "requests that were answered; those of status 401 were of nobody known, and have no operation",
        ("door", "operation", "status"), lambda o: _outcomes(o.requests),
    ),
    Figure(
        "assent_http_request_duration_seconds", "histogram", "from the head of a request to the end of its answer",
        ("door", "operation"), series=lambda o: o.requests,
    ),
    Figure(
        "assent_requests_limited_total", "counter", "requests that a limit of `[serve.rate]` has refused", ("limit",),
        lambda o: _codes(o.limited),
    ),
    Figure(
        "assent_streams_cut_total", "counter", "streams that ended before all was told", ("door", "operation"),
        lambda o: o.cut.items(),
    ),
    Figure("assent_connections", "gauge", "open connections", ("door",), lambda o: _codes(o.connections)),
    Figure("assent_streams", "gauge", "open streams", (), lambda o: [((), o.streams)]),
    Figure(
        "process_cpu_seconds_total", "counter", "processor time of the owner", (), lambda _: [((), sum(os.times()[:2]))]
    ),
    Figure("process_resident_memory_bytes", "gauge", "its memory", (), lambda _: [((), _resident())]),
    Figure("process_open_fds", "gauge", "its open files", (), lambda _: [((), _open_files())]),
    Figure("process_start_time_seconds", "gauge", "when it began", (), lambda _: [((), _BEGAN_MS / 1000)]),
)  # fmt: skip
"""Every family, in the order of the page."""


def page(observed: Observed) -> bytes:
    """All families with what is measured now."""
    return "".join(_family(figure, observed) for figure in FIGURES).encode()


def _family(figure: Figure, observed: Observed) -> str:
    lines = [f"# HELP {figure.name} {_escaped(figure.means)}", f"# TYPE {figure.name} {figure.kind}"]
    for values, number in figure.values(observed):
        lines.append(f"{figure.name}{_labels(figure.labels, values)} {_number(number)}")
    for name, one in figure.series(observed).items():
        values, duration = tuple(name.split(" ")), one["duration_us"]
        bounds = [(str(int(bound) / 1e6), below) for bound, below in duration["under"].items()]
        for bound, below in (*bounds, ("+Inf", one["count"])):
            lines.append(
                f"{figure.name}_bucket{_labels((*figure.labels, 'le'), (*values, bound))} {_number(below)}"
            )
        labels = _labels(figure.labels, values)
        lines.append(f"{figure.name}_sum{labels} {_number(duration['sum'] / 1e6)}")
        lines.append(f"{figure.name}_count{labels} {_number(one['count'])}")
    return "\n".join(lines) + "\n"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    pairs = ",".join(
        f'{name}="{_escaped(value, quote=True)}"' for name, value in zip(names, values, strict=True)
    )
    return f"{{{pairs}}}" if pairs else ""


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


def _number(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(float(number))


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Measuring:
    """Counts the requests that were answered, and writes the page."""

    def __init__(
        self,
        connections: Callable[[], Mapping[str, int]],
        streams: Callable[[], int],
        limited: Mapping[str, int],
    ) -> None:
        """`limited`: how many requests each limit has refused."""
        self._requests = Metrics()
        self._cut: Counter[tuple[str, ...]] = Counter()
        self._limited = limited
        self._connections = connections
        self._streams = streams

    def add(self, exchange: Exchange) -> None:
        """One more request."""
        name = f"{exchange.door} {exchange.operation}"
        self._requests.call(name, str(exchange.status), int(exchange.ms * 1000))
        if exchange.is_cut:
            self._cut[exchange.door, exchange.operation] += 1

    def page(self, health: answers.Health) -> bytes:
        """All families with what is measured now."""
        calls: Any = self._requests.snapshot()["calls"]  # `Any`: JSON of a known form
        observed = Observed(
            health=health,
            requests=calls,
            connections=self._connections(),
            streams=self._streams(),
            limited=self._limited,
            cut=self._cut,
        )
        return page(observed)
