"""A real disk fills up under a real run: the command says so, loses nothing, and the run goes on once there is room."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Ended
from tests.support.own_places import own_places
from tests.support.small_disk import SmallDisk

ROOMS_KIB = [8, 60, 112, 120, 180, 260]
"""From no ledger at all, over one that can't be read for want of room and an owner that can't say where it listens, to a run
that is stopped in its middle."""

STEPS = 8
RUNS = "name: runs\nsteps:\n" + "".join(
    f"  - {{name: s{n}, capability: io.fs.write_file, inputs: {{path: f{n}.txt, content: 'step {n}'}}}}\n"
    for n in range(STEPS)
)

COPIES = """\
name: copies
steps:
  - {name: note, capability: io.fs.write_file, inputs: {path: note.txt, content: noted}}
  - {name: copy, capability: io.fs.copy, inputs: {source: large.bin, destination: copied.bin}}
"""


class Place:
    """A workspace and a small disk, which holds the state or the workspace itself."""

    def __init__(self, disk: SmallDisk, workspace: Path, env: dict[str, str]) -> None:
        self.disk, self.workspace, self.env = disk, workspace, env

    def assent(self, *words: str) -> Ended:
        return self.disk.run(sys.executable, "-m", "assent", *words, cwd=self.workspace, env=self.env)

    def shell(self, script: str) -> str:
        ended = self.disk.run("sh", "-c", script, cwd=self.workspace, env=self.env)
        assert ended.code == 0, ended
        return ended.out


@pytest.fixture
def place(tmp_path: Path, clean_env: dict[str, str]) -> Iterator[Place]:
    """A workspace on the usual disk, its state on the small one."""
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / "runs.yaml").write_text(RUNS)
    with own_places(tmp_path, clean_env) as env, SmallDisk.mounted(tmp_path / "disk") as disk:
        yield Place(disk, workspace, {**env, "ASSENT_STATE": str(disk.folder / "state")})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every four kilobytes with `--complete-crash`."""
    if "room_kib" in metafunc.fixturenames:
        is_complete = metafunc.config.getoption("crash_complete")
        metafunc.parametrize("room_kib", range(0, 360, 4) if is_complete else ROOMS_KIB)


def test_a_full_disk_stops_the_run_and_loses_nothing(place: Place, room_kib: int) -> None:
    """Whatever room there was: DISK_FULL, nothing half done, and after some room was made every effect happened once."""
    place.disk.leave(room_kib)
    stopped = place.assent("run", "runs.yaml", "--json")
    assert stopped.code == 1, stopped
    error = stopped.json()["error"]
    assert error["code"] in ("DISK_FULL", "STATE_UNUSABLE"), error
    assert "no space left" in error["message"] or "full" in error["message"]
    done = sorted(path.name for path in place.workspace.glob("f*.txt"))
    assert done == [f"f{n}.txt" for n in range(len(done))], "steps run in order, and nothing else is there"

    place.disk.empty()
    runs = place.assent("runs", "--json").json()
    if runs:
        assert f"assent resume {runs[0]['run_id']}" in error["hint"]
        assert runs[0]["status"] == "interrupted"
        ended = place.assent("resume", runs[0]["run_id"], "--json")
    else:
        assert done == [], "what is not on the record did not happen"
        ended = place.assent("run", "runs.yaml", "--json")
    assert ended.code == 0, ended
    assert [step["output"]["created"] for step in ended.json()["steps"]] == [True] * STEPS
    assert {path.name for path in place.workspace.iterdir()} == {"runs.yaml"} | {
        f"f{n}.txt" for n in range(STEPS)
    }
    assert place.assent("audit", "verify", "--json").json()["ok"] is True


def test_a_step_that_meets_a_full_disk_is_a_failed_step(tmp_path: Path, clean_env: dict[str, str]) -> None:
    """Its own file has no room: the step fails with DISK_FULL and no effect, and the run is rolled back, which needs no room."""
    with own_places(tmp_path, clean_env) as env, SmallDisk.mounted(tmp_path / "disk") as disk:
        place = Place(disk, disk.folder, {**env, "ASSENT_STATE": str(tmp_path / "state")})
        place.shell(f"head -c 1000000 /dev/zero > large.bin; printf %s '{COPIES}' > copies.yaml")
        disk.leave(100)
        before = place.shell("ls -lAR --full-time")
        ended = place.assent("run", "copies.yaml", "--json")
        assert ended.code == 1, ended
        run = ended.json()
        assert run["status"] == "rolled_back"
        assert [step["status"] for step in run["steps"]] == ["compensated", "failed"]
        assert run["steps"][1]["error"]["code"] == "DISK_FULL"
        assert place.shell("ls -lAR --full-time") == before
        assert place.assent("audit", "verify", "--json").json()["ok"] is True


ALLOW = """\
version: 1
default: DENY
rules:
  - {id: all, decision: ALLOW, when: {capability: "*"}, without_approval: true, reason: nobody is there to be asked}
"""
PROGRAMS = 'policy = "policy.yaml"\n[exec.rules.all]\nprograms = ["sh"]\n'


def allow_programs(place: Place) -> None:
    """Everything is allowed, and shells may be run."""
    place.shell(
        f"printf %s '{ALLOW}' > policy.yaml; chmod 600 policy.yaml; printf %s '{PROGRAMS}' > assent.toml"
    )


def test_an_erasure_that_a_full_disk_stops_goes_on(place: Place) -> None:
    """It is told as neither failed nor done, and the same run erases the rest once there is room, though the log had grown."""
    place.shell(
        f"printf %s '{ALLOW}' > policy.yaml; chmod 600 policy.yaml; echo 'policy = \"policy.yaml\"' > assent.toml"
    )
    runs = [
        place.assent("call", "io.fs.write_file", f"path=f{n}.txt", f"content={n:05000}", "--json").json()[
            "run_id"
        ]
        for n in range(12)
    ]
    place.disk.leave(80)
    stopped = place.assent("audit", "erase", *runs, "--yes", "--json")
    place.disk.empty()
    assert (stopped.code, stopped.json()["error"]["code"]) == (1, "DISK_FULL"), stopped
    act = next(one for one in place.assent("runs", "--json").json() if one["capability"] == "assent.erase")
    assert act["status"] in ("interrupted", "needs_attention"), stopped
    resumed = place.assent("resume", act["run_id"], "--json")
    assert resumed.code == 0, resumed
    assert resumed.json()["outputs"]["runs"] == len(runs)
    assert place.assent("audit", "verify", "--json").json()["erased"] > 0
    assert place.assent("prune", "--older-than", "1ms", "--yes", "--json").json()["runs"] == [act["run_id"]]


def call(place: Place, capability: str, script: str) -> Ended:
    ended = place.assent("call", capability, f"argv:={json.dumps(['sh', '-c', script])}", "--json")
    if "SANDBOX_UNAVAILABLE" in ended.out:
        pytest.skip("nothing confines programs in a name space of this machine")
    return ended


@pytest.mark.parametrize("capability", ["sys.exec.run", "sys.exec.run_captured"])
def test_a_program_that_fills_the_disk_of_the_state_changes_nothing(place: Place, capability: str) -> None:
    """It may print or write what fills it: the call fails for that reason, and what the program left goes at once."""
    allow_programs(place)
    before = place.shell("ls -lAR --full-time")
    ended = call(place, capability, "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero > large")
    assert ended.code == 1, ended
    assert ended.json()["error"]["code"] == "DISK_FULL", ended
    assert place.shell("ls -lAR --full-time") == before
    assert place.shell('ls -A "$ASSENT_STATE/sandbox"') == ""
    assert place.assent("audit", "verify", "--json").json()["ok"] is True


@pytest.mark.parametrize("capability", ["sys.exec.run_captured", "sys.archive.unpack"])
def test_many_files_that_do_not_fit_leave_none_behind(
    tmp_path: Path, clean_env: dict[str, str], capability: str
) -> None:
    """What a program wrote, and what an archive holds, is taken over as a whole or not at all."""
    with own_places(tmp_path, clean_env) as env, SmallDisk.mounted(tmp_path / "disk") as disk:
        place = Place(disk, disk.folder, {**env, "ASSENT_STATE": str(tmp_path / "state")})
        allow_programs(place)
        if capability == "sys.archive.unpack":
            with tarfile.open(tmp_path / "a.tar", "w") as archive:
                for number in range(6):
                    member = tarfile.TarInfo(f"f{number}")
                    member.size = 500_000
                    archive.addfile(member, io.BytesIO(bytes(member.size)))
            packed = gzip.compress((tmp_path / "a.tar").read_bytes()).hex()
            program = "import sys; open('a.tar.gz', 'wb').write(bytes.fromhex(sys.argv[1]))"
            place.shell(f'{sys.executable} -c "{program}" {packed}; echo old > f1')
            before = place.shell("ls -lAR --full-time")
            ended = place.assent(
                "call", capability, "source=a.tar.gz", "destination=out", "ratio_max=10000", "--json"
            )
        else:
            place.shell("echo old > f1")
            before = place.shell("ls -lAR --full-time")
            ended = call(place, capability, "for n in 1 2 3 4 5 6; do head -c 500000 /dev/zero > f$n; done")
        assert ended.code == 1, ended
        assert ended.json()["error"]["code"] == "DISK_FULL", ended
        assert place.shell("ls -lAR --full-time") == before
        assert place.assent("audit", "verify", "--json").json()["ok"] is True


PROGRAM = """\
import asyncio, os, shutil, sys
from assent import Runtime
from assent.errors import AssentError

async def main(workspace):
    async with Runtime.open(workspace) as rt:
        await rt.call("sys.noop")
        with open(os.path.join(os.environ["ASSENT_STATE"], "..", "ballast"), "wb") as ballast:
            ballast.write(bytes(shutil.disk_usage(ballast.name).free - 40_000))
        for number in range(100):
            try:
                await rt.call("io.fs.write_file", {"path": f"f{number}.txt", "content": "x" * 3000})
            except AssentError as error:
                assert error.code == "DISK_FULL", error.to_dict()
                break
        health = (await rt.app.health()).parts["state"]
        assert (health.status, "disk is full" in health.detail) == ("failed", True), health
        os.unlink(ballast.name)
        assert (await rt.app.health()).parts["state"].status == "ok"
        for result in await rt.resume():
            assert result.status == "succeeded", result
        assert (await rt.call("io.fs.write_file", {"path": "after.txt", "content": "x"})).status == "succeeded"
        print(number)

asyncio.run(main(sys.argv[1]))
"""


def test_a_program_goes_on_when_its_disk_has_space_again(place: Place) -> None:
    """It is told DISK_FULL, and need not open its runtime anew; the run that was stopped goes on, or was never there."""
    ended = place.disk.run(
        sys.executable, "-c", PROGRAM, str(place.workspace), cwd=place.workspace, env=place.env
    )
    assert ended.code == 0, ended
    assert (place.workspace / "after.txt").exists()
    assert place.assent("runs", "--json").json()[-1]["status"] == "succeeded"
    assert place.assent("audit", "verify", "--json").json()["ok"] is True
