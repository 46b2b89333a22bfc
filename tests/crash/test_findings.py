"""An import is killed at every point, and whoever folds the store in the middle: nothing is lost, nothing is there twice."""

from __future__ import annotations

from typing import Any, Final

import pytest

from assent.capabilities.findings import BOOK, follow
from assent.capabilities.handed import HANDED
from assent.errors import Json
from assent.findings.book import BookFile
from assent.runtime._ledger import reading
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.settings.effective import Settings
from tests.support.books import dump, nuclei
from tests.support.crashing import KILLED, Scene, noted
from tests.support.seeds import dice

RECORDS: Final = 300
SAMPLES: Final = 5
IMPORT: Final = ("findings", "import", "../scan.jsonl", "--project", "shop", "--json")
SEVERITIES: Final = ("low", "high", "critical")

_DIES: Final = """
import os, signal, sys
from pathlib import Path
from assent.capabilities.findings import _following
from assent.findings.book import Writing
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.settings.effective import Settings

place = left = int(sys.argv[1])
decode, set_mark = _following._DECODE, Writing.set_mark

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

_following._DECODE, Writing.set_mark = dying, dying_at_a_mark
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


def finish(scene: Scene) -> dict[str, Json]:
    """Resume, and import again only what was never on the record; the one run that did it."""
    assert scene.assent("resume", "--json").code == 0
    if not [run for run in scene.runs() if run["status"] == "succeeded"]:
        assert scene.runs() == []
        assert scene.assent(*IMPORT).code == 0
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
    assert len([*(state / HANDED).iterdir()]) <= orphans, "what was handed over is still there"
    assert [*(state / "blobs" / "tmp").iterdir()] == []
    assert scene.assent("audit", "verify").code == 0


@pytest.mark.usefixtures("output")
def test_an_import_killed_anywhere_is_there_once(scene: Scene, *, crash_complete: bool) -> None:
    kept = scene.keep()
    trace = scene.trace(*IMPORT)
    assert {"blob.after", "ledger.before", "effect.before", "effect.after"} <= {*trace}
    wanted = {one["id"]: one["seen"][0][1]["severity"] for one in standing(scene)["findings"]}
    places = range(1, len(trace) + 1)
    chance = dice("kills of an import of findings")
    for place in places if crash_complete else sorted(chance.sample(places, SAMPLES)):
        with noted(f"killed at any:{place}, {trace[place - 1]}"):
            scene.restore(kept)
            scene.kill_at(place, *IMPORT)
            never_called = scene.runs() == []
            assert_once(scene, finish(scene), orphans=int(never_called))
            found = {one["id"]: one["seen"][0][1]["severity"] for one in standing(scene)["findings"]}
            assert found == wanted


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
