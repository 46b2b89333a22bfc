"""Imports and scans are killed at every point, and whoever folds the store in the middle: nothing is lost or there twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from assent.capabilities.findings import BOOK, follow
from assent.capabilities.handed import HANDED
from assent.cli._exit import ATTENTION
from assent.errors import Json
from assent.findings.book import BookFile
from assent.runtime._ledger import reading
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.settings.effective import Settings
from assent.sandbox import Sandbox
from tests.support.books import dump, nuclei
from tests.support.crashing import KILLED, Scene, noted
from tests.support.seeds import dice

RECORDS: Final = 300
SAMPLES: Final = 5
IMPORT: Final = ("findings", "import", "../scan.jsonl", "--project", "shop", "--json")
SCAN: Final = ("scan", "run", "stub", "scan.jsonl", "--project", "shop", "--json")
ATTACK: Final = ("scan", "run", "stub", "127.0.0.1", "--option", "words=scan.jsonl", *SCAN[4:])
SEVERITIES: Final = ("low", "high", "critical")

_STUB: Final = """\
tool = "stub"
title = "Stub"
about = "prints what a scanner wrote"
kind = "{kind}"
target = "{target}"
binary = ["stub"]
args = ["{{target}}", ["{{words}}"]]
[version]
args = ["--version"]
pattern = "stub (?P<version>[0-9.]+)"
[output]
parser = "nuclei"
[options.words]
type = "file"
about = "what to print"
"""

_SCANNER: Final = """\
#!/bin/sh
case "$1" in --version) echo "stub 1.0"; exit;; esac
cat "${2:-$1}"
"""

_DIES: Final = """
import os, signal, sys
from pathlib import Path
from assent.capabilities.findings import _following
from assent.findings.book import Writing
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.settings.effective import Settings

place = left = int(sys.argv[1])
decode, set_mark = _following.said_in, Writing.set_mark

def dying(line):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(line)

def dying_at_a_mark(writing, mark):
    set_mark(writing, mark)
    if mark.seq == -place:
        os.kill(os.getpid(), signal.SIGKILL)

_following.said_in, Writing.set_mark = dying, dying_at_a_mark
cwd = Path.cwd()
with FindingsStore(Settings.resolve(workspace=cwd, environ=os.environ, cwd=cwd)).looking():
    pass
"""


@pytest.fixture
def output(scene: Scene) -> bytes:
    """What a scanner wrote, beside the workspace: some matters twice."""
    data = nuclei(
        (f"rule-{number % 250}", SEVERITIES[number % 3], "shop.example") for number in range(RECORDS)
    )
    (scene.root / "scan.jsonl").write_bytes(data)
    return data


def furnish(scene: Scene, data: bytes, *, kind: str, target: str) -> None:
    """A scanner that prints these bytes, and a scope. Skips where nothing holds it."""
    with Sandbox.detect() as sandbox:
        missing = sandbox.scope_missing() if sandbox.holds.is_confined else "nothing confines programs"
    if missing is not None:
        pytest.skip(missing)
    work, folder = scene.workspace, scene.root / "bin"
    folder.mkdir()
    (folder / "stub").write_text(_SCANNER)
    (folder / "stub").chmod(0o755)
    (work / "scanners").mkdir()
    (work / "scanners/stub.toml").write_text(_STUB.format(kind=kind, target=target))
    (work / "scan.jsonl").write_bytes(data)
    said = f'[scan]\npaths = ["{folder}"]\ntools = "scanners"\n[scan.scope]\nnetworks = ["127.0.0.1"]\n'
    (work / "assent.toml").write_text(f'policy = "policy.yaml"\n{said}')


def settings_of(scene: Scene) -> Settings:
    return Settings.resolve(workspace=scene.workspace, environ=scene.env, cwd=scene.workspace)


def standing(scene: Scene) -> dict[str, Any]:
    """The store, which is what the ledger folds to."""
    with FindingsStore(settings_of(scene)).opened() as (file, _):
        kept = dump(file)
    with reading(settings_of(scene).state) as journal:
        assert journal is not None
        file = BookFile(None)
        follow(journal, journal.blob, file)
    assert dump(file) == kept
    return kept


def finish(scene: Scene, words: Sequence[str]) -> dict[str, Json]:
    """Resume, and ask again only for what was never on the record; the one run that did it."""
    assert scene.assent("resume", "--json").code == 0
    if not [run for run in scene.runs() if run["status"] == "succeeded"]:
        assert scene.runs() == []
        assert scene.assent(*words).code == 0
    (run,) = scene.runs()
    return run


def assert_once(scene: Scene, run: dict[str, Json], *, orphans: int) -> None:
    """`orphans`: files that were handed over by a command that was killed before it could call."""
    found = standing(scene)
    (dataset,) = found["datasets"]
    assert (dataset["run"], dataset["new"], dataset["known"]) == (run["run_id"], 250, 0)
    assert (dataset["said"]["records"], dataset["said"]["findings"]) == (RECORDS, RECORDS)
    assert len(found["findings"]) == 250
    assert found["stray"] == 0
    state = settings_of(scene).state
    assert len([*(state / HANDED).glob("*")]) <= orphans, "what was handed over is still there"
    assert [*(state / "blobs" / "tmp").iterdir()] == []
    assert [*(state / "sandbox").glob("*")] == []
    assert scene.assent("audit", "verify").code == 0


def kills(scene: Scene, words: Sequence[str], *, all_of_them: bool) -> Iterator[None]:
    """Let a command end, then kill it at some of the points that it passes, or at each; each time before anybody looks."""
    kept = scene.keep()
    trace = scene.trace(*words)
    assert {"blob.after", "ledger.before", "effect.before", "effect.after"} <= {*trace}
    yield
    places = range(1, len(trace) + 1)
    chance = dice(f"kills of {words[0]} {words[1]} {words[3]}")
    for place in places if all_of_them else sorted(chance.sample(places, SAMPLES)):
        with noted(f"killed at any:{place}, {trace[place - 1]}"):
            scene.restore(kept)
            scene.kill_at(place, *words)
            yield


@pytest.mark.parametrize("words", [IMPORT, SCAN], ids=["import", "scan"])
def test_what_was_found_is_there_once_wherever_it_was_killed(
    scene: Scene, output: bytes, words: Sequence[str], *, crash_complete: bool
) -> None:
    if words is SCAN:
        furnish(scene, output, kind="static", target="path")
    wanted: dict[str, str] = {}
    for _ in kills(scene, words, all_of_them=crash_complete):
        never_called = scene.runs() == []
        assert_once(scene, finish(scene, words), orphans=int(never_called and words is IMPORT))
        found = {one["id"]: one["seen"][0][1]["severity"] for one in standing(scene)["findings"]}
        assert found == (wanted or found)
        wanted = found


def test_an_active_scan_killed_anywhere_is_there_once_or_in_doubt(
    scene: Scene, output: bytes, *, crash_complete: bool
) -> None:
    """From its intent to its outcome nobody knows what it sent; the store has it whole or not at all."""
    furnish(scene, output, kind="active", target="host")
    statuses = set()
    for _ in kills(scene, ATTACK, all_of_them=crash_complete):
        code = scene.assent("resume", "--json").code
        (status,) = {run["status"] for run in scene.runs()} or {"never called"}
        statuses.add(status)
        if status == "needs_attention":
            assert (code, standing(scene)["datasets"]) == (ATTENTION, [])
            assert scene.assent("audit", "verify").code == 0
        else:
            assert_once(scene, finish(scene, ATTACK), orphans=0)
    assert not crash_complete or statuses == {"never called", "needs_attention", "succeeded"}


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize("place", ["compensate.before:1", "compensate.after:1", "ledger.before:2"])
def test_taking_an_import_back_killed_in_the_middle_is_finished(scene: Scene, place: str) -> None:
    assert scene.assent(*IMPORT).code == 0
    (run,) = scene.runs()
    assert scene.assent("undo", str(run["run_id"]), kill=place).code == KILLED
    assert scene.assent("resume", "--json").code == 0
    found = standing(scene)
    assert (found["projects"], found["datasets"], found["findings"]) == ([], [], [])
    assert scene.assent("audit", "verify").code == 0


@pytest.mark.usefixtures("output")
def test_whoever_folds_and_is_killed_leaves_whole_acts(scene: Scene) -> None:
    """In the middle of the first dataset, of the second, and between an act and its commit; the next one goes on."""
    assert scene.assent(*IMPORT).code == 0
    first = standing(scene)
    assert scene.assent(*IMPORT).code == 0
    wanted = standing(scene)
    assert [(one["new"], one["known"]) for one in wanted["datasets"]] == [(250, 0), (0, 250)]
    seqs = [one["seq"] for one in wanted["datasets"]]
    state = settings_of(scene).state
    for place in (1, 150, RECORDS, -seqs[0], RECORDS + 150, -seqs[1]):
        with noted(f"killed at {place}"):
            for path in state.glob(f"{BOOK}*"):
                path.unlink()
            ended = scene.nursery.run(
                "-c", _DIES, str(place), cwd=scene.workspace, env=scene.env, kind="python"
            )
            assert ended.code == KILLED, ended
            file = BookFile(state / BOOK)
            is_second = place > RECORDS or place == -seqs[1]
            assert dump(file)["datasets"] == (first["datasets"] if is_second else [])
            file.close()
            assert standing(scene) == wanted
