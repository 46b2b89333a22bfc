"""A workspace in which commands are killed: six file effects, what they must leave, and what nothing may leave behind."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

from assent.errors import Json
from assent.failpoints import VARIABLE
from assent.runtime.service._reading import Reader
from assent.runtime.settings.effective import Settings
from assent.spec.values.json_fields import mapping, objects
from tests.support.hands import TreeState, tree_of, without_times
from tests.support.nursery import Ended, Nursery
from tests.support.seeds import dice

KILLED: Final = -9
FEWER: Final = 4
"""By how many points two runs of the same command may differ."""
COMMAND: Final = Path(sys.executable).with_name("assent")

_POLICY: Final = """\
version: 1
rules:
  - id: everything
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: nobody is there to be asked while processes are killed
"""

_STEPS: Final = """\
  - name: write
    capability: io.fs.write_file
    inputs: {path: new.txt, content: "brand new\\n"}
  - name: overwrite
    capability: io.fs.write_file
    inputs: {path: notes.txt, content: "written over\\n"}
  - name: copy
    capability: io.fs.copy
    inputs: {source: docs, destination: copied}
  - name: move
    capability: io.fs.move
    inputs: {source: report.txt, destination: archive/report.txt, overwrite: true}
  - name: nest
    capability: io.fs.write_file
    inputs: {path: made/deep/nested.txt, content: "nested\\n", create_dirs: true}
  - name: delete
    capability: io.fs.delete
    inputs: {path: old, recursive: true}
"""

_FAIL: Final = """\
  - name: fail
    capability: sys.fail
    inputs: {message: "the end fails"}
"""

SUCCEEDS: Final = "succeeds"
FAILS: Final = "fails"
WORKFLOWS: Final = {SUCCEEDS: _STEPS, FAILS: _STEPS + _FAIL}
UNDO: Final = "undo"
ENDS: Final = {SUCCEEDS: "succeeded", FAILS: "rolled_back"}

REACHED: Final[Mapping[str, Mapping[str, int]]] = {
    SUCCEEDS: {
        "blob.before": 3,
        "blob.after": 3,
        "commit.before": 8,
        "ledger.before": 10,
        "ledger.after": 10,
        "commit.after": 8,
        "effect.before": 6,
        "file.before": 8,
        "file.after": 8,
        "effect.after": 6,
    },
    FAILS: {
        "blob.before": 3,
        "blob.after": 3,
        "commit.before": 15,
        "ledger.before": 17,
        "ledger.after": 17,
        "commit.after": 15,
        "effect.before": 7,
        "file.before": 15,
        "file.after": 17,
        "effect.after": 6,
        "compensate.before": 6,
        "compensate.after": 6,
    },
    UNDO: {
        "commit.before": 7,
        "ledger.before": 7,
        "ledger.after": 7,
        "commit.after": 7,
        "file.before": 7,
        "file.after": 9,
        "compensate.before": 6,
        "compensate.after": 6,
    },
}
"""How often each failpoint is reached when nobody kills anything; a test holds this table to what really happens."""

OUTPUTS: Final[Mapping[str, Mapping[str, Json]]] = {
    "write": {"created": True, "changed": True, "size": 10},
    "overwrite": {"created": False, "changed": True, "size": 13},
    "copy": {"replaced": False, "changed": True},
    "move": {"replaced": True, "entries": 1},
    "nest": {"created": True, "created_dirs": ["made", "made/deep"]},
    "delete": {"entries": 5, "size": 304},
}
"""What each step tells of its one effect. A second effect would tell another story: nothing created, nothing there to move."""


def places(operation: str) -> list[str]:
    """Every failpoint of an operation with every count at which it is reached: `effect.after:3`."""
    return [f"{name}:{count + 1}" for name, most in REACHED[operation].items() for count in range(most)]


def some_places(operation: str) -> list[str]:
    """Every failpoint around an effect; and of the eight around two commits that which the dice choose."""
    commits: dict[str, list[str]] = {}
    for place in places(operation):
        name, _, count = place.partition(":")
        is_of_commit = name.startswith(("commit.", "ledger."))
        commits.setdefault(str(int(count) // 2) if is_of_commit else place, []).append(place)
    chance = dice(f"kills around commits of {operation}")
    return [chance.choice(alike) for alike in commits.values()]


Outline: TypeAlias = "dict[str, tuple[str, int, bytes]]"


@dataclass
class Scene:
    """A furnished workspace and the commands that are run, and killed, in it."""

    root: Path
    env: Mapping[str, str]
    nursery: Nursery
    before: TreeState = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.root / "ws"

    @classmethod
    def furnish(cls, root: Path, env: Mapping[str, str], nursery: Nursery) -> Scene:
        """The scene, its workspace as it stands before anything is run."""
        scene = cls(root, env, nursery)
        workspace = scene.workspace
        for folder in ("docs/inner", "archive", "old/deep", "old/empty", ".assent"):
            (workspace / folder).mkdir(parents=True)
        contents = {
            "notes.txt": b"as it was\n" * 9,
            "report.txt": b"report\n",
            "archive/report.txt": b"an older report\n",
            "docs/a.txt": b"alpha\n",
            "docs/inner/b.bin": bytes(range(256)),
            "old/one.txt": b"one\n",
            "old/deep/two.bin": b"\0\1\2" * 100,
            "untouched.txt": b"nobody's business\n",
            "assent.toml": b'policy = "policy.yaml"\n',
            "policy.yaml": _POLICY.encode(),
            ".assent/.gitignore": b"*\n",
        }
        for name, steps in WORKFLOWS.items():
            contents[f"{name}.yaml"] = f"name: {name}\nversion: 1.0.0\nsteps:\n{steps}".encode()
        for name, data in contents.items():
            (workspace / name).write_bytes(data)
        (workspace / "docs/link").symlink_to("inner/b.bin")
        (workspace / ".assent").chmod(0o700)
        (workspace / "notes.txt").chmod(0o640)
        (workspace / "old/one.txt").chmod(0o400)
        (workspace / "old/deep").chmod(0o750)
        paths = sorted((path for path in workspace.rglob("*") if ".assent" not in path.parts), reverse=True)
        for number, path in enumerate(paths):
            os.utime(path, ns=(10**18, 10**18 + number), follow_symlinks=False)
        os.utime(workspace, ns=(10**18, 10**18))
        scene.before = scene.tree()
        return scene

    def assent(self, *words: str, kill: str | None = None) -> Ended:
        """Run `assent WORDS…`; `kill` is the failpoint at which it dies."""
        return self.nursery.run(*words, cwd=self.workspace, env=self._armed(kill))

    def assent_anew(self, *words: str, kill: str | None = None) -> Ended:
        """The same in a process that an operating system starts, as a user's shell would have it."""
        done = subprocess.run(
            [COMMAND, *words],
            cwd=self.workspace,
            env=self._armed(kill),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def kill_at(self, place: int, *words: str) -> None:
        """Run a command that dies at its n-th point, or this time reaches so few points that it ended just before that one.

        How many there are is not the same each time: two appends share a commit if they meet, and git makes no folder for a
        new object where an older one needed the same.
        """
        ended = self._die_at(place, *words)
        assert _has_come_near(ended, place), f"`any:{place}` was not reached: {ended}"

    def came_near(self, place: int, *words: str) -> bool:
        """The same, where it may have much less to do: whether it came so far."""
        return _has_come_near(self._die_at(place, *words), place)

    def _die_at(self, place: int, *words: str) -> Ended:
        return self.assent(*words, kill=f"any:{place}")

    def _armed(self, kill: str | None) -> dict[str, str]:
        return {**self.env, VARIABLE: kill} if kill is not None else dict(self.env)

    def trace(self, *words: str) -> tuple[str, ...]:
        """The failpoints that a command reaches, in order."""
        return self.assent(*words, kill="any:0").trace

    def tree(self) -> TreeState:
        """The whole workspace with bytes, modes and times; the state directory left out."""
        return tree_of(self.workspace)

    def expected(self) -> Outline:
        """The workspace after all six effects, each exactly once; written down here, not computed by the code under test."""
        before = without_times(self.before)
        mode, folder = before["untouched.txt"][1], before["docs"][1]
        gone = {path for path in before if path.split("/")[0] in ("old", "report.txt")}
        after = {path: state for path, state in before.items() if path not in gone}
        after |= {
            path.replace("docs", "copied", 1): state
            for path, state in before.items()
            if path.split("/")[0] == "docs"
        }
        return after | {
            "new.txt": ("file", mode, b"brand new\n"),
            "notes.txt": ("file", 0o640, b"written over\n"),
            "archive/report.txt": before["report.txt"],
            "made": ("directory", folder, b""),
            "made/deep": ("directory", folder, b""),
            "made/deep/nested.txt": ("file", mode, b"nested\n"),
        }

    def assert_done(self) -> None:
        """Every effect happened, and nothing else: names, kinds, modes, bytes, and the times of what was only moved or left."""
        found = self.tree()
        assert without_times(found) == self.expected()
        kept = {
            path: state
            for path, state in self.before.items()
            if state[0] != "directory" and without_times(found).get(path) == state[:2] + state[3:]
        }
        assert {path: found[path] for path in kept} == kept
        assert found["archive/report.txt"] == self.before["report.txt"]

    def assert_untouched(self) -> None:
        """The workspace is as it was before anything was run, every time and the root's own included."""
        assert self.tree() == self.before

    def assert_sound(self, *unfinished: str) -> None:
        """No run is unfinished but those said, the ledger verifies, and the state directory holds nothing temporary."""
        with Reader.open(self._settings) as reader:
            assert [run["status"] for run in reader.runs() if run["status"] not in _ENDED] == [*unfinished]
            report = reader.verify()
            assert report["ok"], report
        state = self.workspace / ".assent"
        assert {entry.name for entry in state.iterdir()} <= _STATE_FILES
        assert list((state / "blobs" / "tmp").iterdir()) == []
        assert [*(state / "sandbox").glob("*")] == []

    def runs(self) -> list[dict[str, Json]]:
        """All runs, oldest first."""
        with Reader.open(self._settings) as reader:
            return reader.runs()

    def runs_if_any(self) -> bool:
        """Whether any run is on the record."""
        return bool(self.runs())

    def story(self, run: str) -> Story:
        """How a run went."""
        with Reader.open(self._settings) as reader:
            shown = reader.show(run)
        events = [mapping(leaf, "event") for leaf in objects(shown, "events")]
        steps = objects(shown, "steps")
        return Story(
            str(shown["status"]),
            {str(step["name"]): step.get("output") for step in steps},
            [(str(e["kind"]), str(e.get("step", ""))) for e in events],
            [str(step["status"]) for step in steps],
        )

    @property
    def _settings(self) -> Settings:
        return Settings.resolve(environ=self.env, cwd=self.workspace)

    def left(self, trace: Sequence[str]) -> str:
        """A name for what a kill left: what is recorded, the workspace, the state's files, and the points of the recovery."""
        with Reader.open(self._settings) as reader:
            events = [
                [(str(event["kind"]), str(event.get("step", ""))) for event in self._events(reader, run)]
                for run in reader.runs()
            ]
        state = self.workspace / ".assent"
        blobs = sorted(path.name for path in (state / "blobs").rglob("*") if path.is_file())
        names = [re.sub(r"[0-9a-z]{26}", "ID", name) for name in sorted(without_times(self.tree()))]
        found = (events, [*without_times(self.tree()).values()], names, blobs, [*trace])
        return sha256(repr(found).encode()).hexdigest()

    def _events(self, reader: Reader, run: Mapping[str, Json]) -> list[Mapping[str, Json]]:
        return [mapping(leaf, "event") for leaf in objects(reader.show(str(run["run_id"])), "events")]

    def keep(self) -> Path:
        """A copy of the workspace as it stands, state directory, modes and times included."""
        kept = self.root / "kept"
        _copy(self.workspace, kept)
        return kept

    def restore(self, kept: Path) -> None:
        """Let the workspace stand as it was kept."""
        _remove(self.workspace)
        _copy(kept, self.workspace)


@contextmanager
def noted(text: str) -> Iterator[None]:
    """Inside, a failure tells how it is repeated."""
    try:
        yield
    except BaseException as error:
        error.add_note(text)
        raise


@dataclass(frozen=True, slots=True)
class Story:
    """A run as its journal tells it: its status, its steps' outputs, each event with its step, and how each step ended."""

    status: str
    outputs: dict[str, Json]
    events: list[tuple[str, str]]
    states: list[str]

    def assert_each_effect_once(self) -> None:
        """Each of the six steps succeeded exactly once, with the output of a first and only effect."""
        for step in OUTPUTS:
            assert self.events.count(("step.succeeded", step)) == 1, step
        if self.status == ENDS[SUCCEEDS]:
            for step, wanted in OUTPUTS.items():
                output = self.outputs[step]
                assert isinstance(output, dict)
                assert {name: output[name] for name in wanted} == wanted, step

    def assert_each_taken_back_once(self) -> None:
        """Each of the six effects was taken back exactly once."""
        for step in OUTPUTS:
            assert self.events.count(("compensation.succeeded", step)) == 1, step


_ENDED: Final = ("succeeded", "failed", "rolled_back", "cancelled", "undone")
_STATE_FILES: Final = {
    ".gitignore",
    "plans",
    "knowledge",
    "keys",
    "models",
    "blobs",
    "ledger.db",
    "ledger.db-shm",
    "ledger.db-wal",
    "findings.db",
    "findings.db-shm",
    "findings.db-wal",
    "findings.db-lock",
    "resources.db",
    "resources.db-shm",
    "resources.db-wal",
    "lock",
    "outbox",
    "sandbox",
    "socket",
}


def _copy(source: Path, destination: Path) -> None:
    # Not shutil.copytree: it asks for write permission on folders only in the end, but does not keep a link's own time.
    subprocess.run(["cp", "-a", source, destination], check=True)


def _remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        if not path.is_symlink() and path.is_dir():
            path.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def _has_come_near(ended: Ended, place: int) -> bool:
    return ended.code == KILLED or place - FEWER <= len(ended.trace) < place
