"""Every built-in capability keeps the contract that third-party ones are held to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from assent.capabilities import builtin_capabilities
from assent.capabilities.agent import Barrier
from assent.capabilities.info import Machine
from assent.invocation import GlobalContext
from assent.system import SystemClock, spawn
from assent.testing import CapabilityContract, Case
from assent.testing._clauses import Clause
from assent.testing._contract import clauses_of, run_clause
from tests.conformance.table import CASES as CONFORMANCE
from tests.support.archives import TarEntry, tar_of

BUILTIN = {one.id: one for one in builtin_capabilities()}
FILES = {"a.txt": "one\n", "docs/b.bin": b"\x00\xff", "docs/deep/c.txt": "", "empty": None}


def link(folder: Path) -> None:
    (folder / "docs" / "link").symlink_to("b.bin")
    (folder / "a.txt").chmod(0o640)


def packed(folder: Path) -> None:
    (folder / "in.tar").write_bytes(tar_of(TarEntry(name=b"d/one", data=b"1"), TarEntry(name=b"two")))


class TestNoop(CapabilityContract):
    capability = BUILTIN["sys.noop"]


class TestSleep(CapabilityContract):
    capability = BUILTIN["sys.sleep"]
    cases = (Case({"seconds": 0.01}), Case({"seconds": 0}, refused=[{"seconds": -1}, {"seconds": 1e9}]))


class TestFail(CapabilityContract):
    capability = BUILTIN["sys.fail"]
    cases = (Case({"message": "on purpose"}, fails="STEP_FAILED_ON_PURPOSE"),)


class TestReadFile(CapabilityContract):
    capability = BUILTIN["io.fs.read_file"]
    cases = (Case({"path": "a.txt"}, files=FILES), Case({"path": "missing"}, fails="FILE_NOT_FOUND"))


class TestHashFile(CapabilityContract):
    capability = BUILTIN["io.fs.hash_file"]
    cases = (Case({"path": "docs/b.bin"}, files=FILES),)


class TestListDir(CapabilityContract):
    capability = BUILTIN["io.fs.list_dir"]
    cases = (Case({}, files=FILES), Case({"path": "docs", "recursive": True}, files=FILES, arrange=link))


class TestExists(CapabilityContract):
    capability = BUILTIN["io.fs.exists"]
    cases = (Case({"path": "docs"}, files=FILES), Case({"path": "nothing/here"}))


class TestWriteFile(CapabilityContract):
    capability = BUILTIN["io.fs.write_file"]
    cases = (
        Case({"path": "new.txt", "content": "x"}),
        Case({"path": "a.txt", "content": "two"}, name="replaced", files=FILES, arrange=link),
        Case({"path": "x/y/z", "content": "", "create_dirs": True}, name="with folders"),
        Case({"path": "a.txt", "content": "one\n"}, name="unchanged", files=FILES),
    )


class TestWriteBytes(CapabilityContract):
    capability = BUILTIN["io.fs.write_bytes"]
    cases = (
        Case({"path": "new", "content_base64": "AAEC"}),
        Case({"path": "docs/b.bin", "content_base64": "", "overwrite": True}, name="replaced", files=FILES),
    )


class TestMakeDir(CapabilityContract):
    capability = BUILTIN["io.fs.make_dir"]
    cases = (
        Case({"path": "new"}),
        Case({"path": "a/b/c", "parents": True}, name="with parents"),
        Case({"path": "docs", "exist_ok": True}, name="there already", files=FILES),
    )


class TestDelete(CapabilityContract):
    capability = BUILTIN["io.fs.delete"]
    cases = (
        Case({"path": "a.txt"}, files=FILES),
        Case({"path": "docs", "recursive": True}, name="a tree", files=FILES, arrange=link),
        Case({"path": "docs/link"}, name="a link", files=FILES, arrange=link),
    )


class TestMove(CapabilityContract):
    capability = BUILTIN["io.fs.move"]
    cases = (
        Case({"source": "docs", "destination": "papers"}, files=FILES, arrange=link),
        Case(
            {"source": "a.txt", "destination": "docs/b.bin", "overwrite": True}, name="replaced", files=FILES
        ),
    )


class TestCopy(CapabilityContract):
    capability = BUILTIN["io.fs.copy"]
    cases = (
        Case({"source": "docs", "destination": "papers"}, files=FILES, arrange=link),
        Case(
            {"source": "a.txt", "destination": "docs/b.bin", "overwrite": True}, name="replaced", files=FILES
        ),
    )


class TestPack(CapabilityContract):
    capability = BUILTIN["sys.archive.pack"]
    cases = (
        Case({"sources": ["docs"], "destination": "out.zip"}, files=FILES),
        Case(
            {"sources": ["docs"], "destination": "a.txt", "format": "tar.zst", "overwrite": True},
            name="replaced",
            files=FILES,
        ),
    )


class TestUnpack(CapabilityContract):
    capability = BUILTIN["sys.archive.unpack"]
    cases = (
        Case({"source": "in.tar", "destination": "out"}, files=FILES, arrange=packed),
        Case(
            {"source": "in.tar", "destination": "x/y", "create_dirs": True},
            name="with folders",
            files=FILES,
            arrange=packed,
        ),
    )


class TestGitStatus(CapabilityContract):
    capability = BUILTIN["sys.git.status"]
    cases = (Case({}, fails="GIT_MISSING"),)


class TestGitCommit(CapabilityContract):
    capability = BUILTIN["sys.git.commit"]
    cases = (Case({"message": "m"}, fails="GIT_MISSING"),)


class TestGitTag(CapabilityContract):
    capability = BUILTIN["sys.git.tag"]
    cases = (Case({"name": "v1"}, fails="GIT_MISSING"),)


class TestGitBranch(CapabilityContract):
    capability = BUILTIN["sys.git.branch"]
    cases = (Case({"action": "create", "name": "b"}, fails="GIT_MISSING"),)


NEEDS_MORE = (
    "assent.", "findings.", "knowledge.", "net.", "notify.", "resource.", "scan.", "sys.exec.", "workflow.",
)  # fmt: skip
"""What needs an application, a server or a sandbox: `tests/conformance` tries it in a whole runtime."""

SUITES = [one for one in globals().values() if isinstance(one, type) and issubclass(one, CapabilityContract)]
TRIED = {one.capability.id for one in SUITES if one is not CapabilityContract}
OTHERS = {
    name: case
    for name, case in CONFORMANCE.items()
    if name not in TRIED and not name.startswith(NEEDS_MORE) and isinstance(case.inputs, Mapping)
}
"""The cases of those whose world is no more than files are good for this suite as well."""

TRIALS = [(name, clause) for name in sorted(OTHERS) for clause in clauses_of(BUILTIN[name])]


@pytest.mark.parametrize(("name", "clause"), TRIALS, ids=[f"{name}-{clause.name}" for name, clause in TRIALS])
def test_the_contract_is_kept(name: str, clause: Clause, tmp_path: Path) -> None:
    case = OTHERS[name]
    assert isinstance(case.inputs, Mapping)
    app = GlobalContext(clock=SystemClock(), spawn=spawn)
    app.register(Machine, Machine({"BUILD_NUMBER": "7"}, ("BUILD_*",)))
    app.register(Barrier, Barrier(tmp_path, (), ()))
    run_clause(BUILTIN[name], clause, Case(case.inputs, name, case.files), tmp_path, app=app)


def test_no_builtin_capability_is_left_out() -> None:
    assert {name for name in BUILTIN if not name.startswith(NEEDS_MORE)} == TRIED | OTHERS.keys()
