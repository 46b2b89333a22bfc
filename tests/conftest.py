"""What every test may ask for: the shared samples, an environment without our own instruments, and how long to look."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import get_context
from pathlib import Path

import pytest
from _pytest.assertion import rewrite
from coverage import Coverage
from hypothesis import HealthCheck, settings

from tests.support.disk import waits_for_the_disk, without_waiting
from tests.support.nursery import Nursery
from tests.support.seeds import EXAMPLES, IS_EXPLORING
from tests.support.shared import ENDS

ROOT = Path(__file__).resolve().parent.parent

# No deadline: two cores run many tests at once, and a slow example is no wrong example. Generation is slow for the same
# reason, so the health check that measures it would report the machine and not the strategy.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("gate", _PATIENT, derandomize=True, max_examples=EXAMPLES)
settings.register_profile("search", _PATIENT)
settings.load_profile("search" if IS_EXPLORING else "gate")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--complete-crash`: kill at every pair of failpoints, not a sample of them (`make crash`). `--load`: `make load`."""
    parser.addoption(
        "--complete-crash",
        action="store_true",
        default=False,
        dest="crash_complete",
        help="run the whole crash matrix instead of a sample",
    )
    parser.addoption(
        "--load",
        action="store_true",
        default=False,
        dest="load_full",
        help="try the load of a busy installation instead of a small one, and print what it takes (with -s)",
    )


def pytest_configure() -> None:
    """What every process that a test starts inherits: whoever measures it finds its plugin, and Ctrl-C is minded.

    What a script begins in the background ignores that, and so would they.
    """
    places = str(ROOT / "tests" / "support" / "measuring"), os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """One alone notes lines in a worker: of two, whoever is paused hands over to the other, and nothing is ever left unnoted.

    A worker begins as if it were no worker, and what notes lines until here would go on below what notes them from here.
    """
    measuring = Coverage.current()
    if "PYTEST_XDIST_WORKER" in os.environ and measuring is not None:
        measuring.stop()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """The assertions of all tests are rewritten once, on all processors and unmeasured; each worker then reads what was made.

    To do it takes a worker as long as everything else before its first test, twice, and under coverage four times. No worker
    measures itself as a process that a test started, beside what pytest measures in it.
    """
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    places = [config.invocation_params.dir / asked.partition("::")[0] for asked in config.args]
    sources = [
        path for place in places for path in ([place] if place.is_file() else place.rglob("test_*.py"))
    ]
    with get_context("fork").Pool(initializer=_rewrites, initargs=(config,)) as pool:
        pool.map(_rewrite, sources)


def _rewrites(config: pytest.Config) -> None:
    """What begins a process that rewrites: it inherits whatever measures this one."""
    global _config  # noqa: PLW0603 - a process of a pool has no other place for what can't be sent
    sys.settrace(None)
    _config = config


_config: pytest.Config


def _rewrite(source: Path) -> None:
    compiled = rewrite.get_cache_dir(source) / f"{source.stem}{rewrite.PYC_TAIL}"
    if rewrite._read_pyc(source, compiled) is None and rewrite.try_makedirs(compiled.parent):
        known, code = rewrite._rewrite_test(source, _config)
        rewrite._write_pyc(_config.stash[rewrite.assertstate_key], code, known, compiled)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What a worker makes of the tests' sources is kept for the next run, even where a machine forbids bytecode.

    Nothing of what is made here is garbage, and to look for some takes half as long as all the rest.
    """
    forbids = sys.dont_write_bytecode
    sys.dont_write_bytecode = forbids and "PYTEST_XDIST_WORKER" not in os.environ
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        sys.dont_write_bytecode = forbids


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many workers as processors: where a test waits, for a process, a timer or a disk, another one works."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return max(2, (len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1) * 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests come first: one of them at the end would keep one processor busy while the other waits."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What ten thousand tests are made of lives to the end: no collection of garbage has to walk through it again.

    What is frozen counts no more when it is decided whether a full collection is due, so that these would come very often.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


# The runner of parallel tests gives its workers 80, and commands take it for what a person has set.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="module", autouse=True)
def shared_things_end() -> Iterator[None]:
    """What tests of a file have started for all of them."""
    yield
    ENDS.close()


@pytest.fixture(scope="module", autouse=True)
def _disk(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if waits_for_the_disk(request.path, ROOT) else without_waiting():
        yield


# What looks at the whole from outside, or not at `assent` at all, runs over lines that the floors' own tests have reached, and
# nearly twice as fast where nobody notes that.
_NOT_MEASURED = (
    "conformance",
    "crash",
    "load",
    "property",
    "tools",
    "test_areas.py",
    "test_repository.py",
)
_MEASURED_BESIDE = (
    "capabilities/knowledge/test_no_secrets.py",
    "capabilities/knowledge/test_policy_first.py",
    "doors",
    "engine/test_calls.py",
    "engine/test_starts.py",
    "knowledge/cleaning/test_linear.py",
    "knowledge/cleaning/test_planted.py",
    "knowledge/test_quality.py",
    "server/test_concurrency.py",
    *(
        f"hostile/test_{name}.py"
        for name in (
            "agents",
            "concurrency_keys",
            "consequences",
            "costly_data",
            "doubtful_iterations",
            "expressions",
            "git_discovery",
            "kept_room",
            "places",
            "plan_reads",
            "schemas",
        )
    ),
)
"""What takes a sixth of the time of all tests, and reaches in its own process one line of a thousand that others do not."""


def _noting(config: pytest.Config) -> Coverage | None:
    """What notes lines now; not where it is asked which test passes by a line (`make mutate`): that is asked of all tests."""
    return None if config.getoption("cov_context", None) else Coverage.current()


@contextmanager
def _paused(measuring: Coverage) -> Iterator[None]:
    measuring.stop()
    try:
        yield
    finally:
        measuring.start()


@pytest.fixture(scope="module", autouse=True)
def _coverage(request: pytest.FixtureRequest) -> Iterator[None]:
    measuring = _noting(request.config)
    place = request.path.relative_to(ROOT / "tests").as_posix()
    is_beside = place.startswith(_MEASURED_BESIDE)
    if measuring is None or not (is_beside or place.partition("/")[0] in _NOT_MEASURED):
        yield
        return
    with _paused(measuring), nullcontext() if is_beside else without_measured_children():
        yield


@contextmanager
def without_measured_children() -> Iterator[None]:
    """Inside, processes that tests start are not measured: starting under coverage takes twice as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture
def unmeasured() -> Iterator[None]:
    """For tests whose processes reach nothing that another test does not."""
    with without_measured_children():
        yield


@pytest.fixture(scope="session")
def crash_complete(request: pytest.FixtureRequest) -> bool:
    """True when the whole crash matrix is asked for."""
    return bool(request.config.getoption("crash_complete"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this repository."""
    return ROOT


@pytest.fixture(scope="session")
def samples() -> Path:
    """The shared sample files beside the repository; the test is skipped, with the folder's name, where there are none."""
    folder = ROOT.parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("the shared samples are not here: no folder ../shared/samples beside the repository")
    return folder


@pytest.fixture
def clean_env() -> dict[str, str]:
    """The environment for a child process that must not be measured by coverage, coloured, or treated as a machine's.

    For start-up figures and exact output; a child that runs our code for its own sake should inherit coverage instead.
    """
    dropped = (
        "COVERAGE_",
        "COV_CORE_",
        "PYTEST_",
        "PYTHONHASHSEED",
        "NO_COLOR",
        "FORCE_COLOR",
        "CLICOLOR",
        "ASSENT_",
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


@pytest.fixture
def measured_env(clean_env: dict[str, str]) -> dict[str, str]:
    """The same for a child that runs our code for its own sake: coverage measures it where it measures the tests."""
    name = "COVERAGE_PROCESS_CONFIG"
    return {**clean_env, **({name: os.environ[name]} if name in os.environ else {})}


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """One process per test worker that forks all commands of its tests."""
    env = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    with Nursery.open(env) as nursery:
        yield nursery
