"""A name that only work under way has, which nothing lists, is made by nobody else: nothing can be hidden under one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from assent import Runtime
from assent.capabilities.fs.world._paths import is_temporary, temporary_name
from assent.sandbox import Sandbox
from tests.support.hands import Hands
from tests.support.unpacking import tar_named, zip_named

NAME: Final = f".assent-{'0' * 32}.tmp"
PLACES: Final = (
    NAME,
    f"d/{NAME}",
    f"{NAME}/x",
    f"d/{NAME}/x",
    f"d/./{NAME}",
    temporary_name("x", "run/step1"),
)

WAYS: Final[dict[str, dict[str, Any]]] = {
    "io.fs.write_file": {"path": "AT", "content": "x", "create_dirs": True},
    "io.fs.write_bytes": {"path": "AT", "content_base64": "eA==", "create_dirs": True},
    "io.fs.make_dir": {"path": "AT", "parents": True},
    "io.fs.copy": {"source": "mine", "destination": "AT"},
    "io.fs.move": {"source": "mine", "destination": "AT"},
    "io.fs.patch": {"diff": "--- /dev/null\n+++ b/AT\n@@ -0,0 +1 @@\n+x\n"},
    "sys.archive.pack": {"sources": ["mine"], "destination": "AT"},
    "sys.archive.unpack": {"source": "mine.tar", "destination": "AT"},
}


def hidden_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if is_temporary(path.name)]


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    (tmp_path / "d").mkdir()
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "mine.tar").write_bytes(tar_named("a"))
    return Hands.on(tmp_path)


@pytest.mark.parametrize("capability", WAYS)
def test_no_capability_makes_one(hands: Hands, capability: str) -> None:
    for path in PLACES:
        given = {
            name: value.replace("AT", path) if isinstance(value, str) else value
            for name, value in WAYS[capability].items()
        }
        assert hands.attempt(capability, **given) == "PATH_PROTECTED", path
    assert hidden_in(hands.root) == []


@pytest.mark.parametrize("path", PLACES)
def test_no_archive_brings_one(hands: Hands, path: str) -> None:
    for name, data in {"x.tar": tar_named(path), "x.zip": zip_named(path)}.items():
        (hands.root / name).write_bytes(data)
        refused = hands.attempt("sys.archive.unpack", source=name, destination="out")
        assert refused in {"PATH_PROTECTED", "ARCHIVE_ESCAPES", "ARCHIVE_NAME_REFUSED", "ARCHIVE_AMBIGUOUS"}
    assert hidden_in(hands.root) == []


async def test_no_program_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    monkeypatch.setenv("HOME", str(tmp_path))
    work = tmp_path / "work"
    (work / "d").mkdir(parents=True)
    (work / "assent.toml").write_text('policy = "policy.yaml"\n[exec.rules.shell]\nprograms = ["sh"]\n')
    (work / "policy.yaml").write_text(
        'version: 1\nrules: [{id: a, when: {principal: "user:*"}, decision: ALLOW, without_approval: true, reason: none}]\n'
    )
    (work / "policy.yaml").chmod(0o600)
    async with Runtime.open(work) as rt:
        for path in PLACES:
            line = f"mkdir -p $(dirname {path}); echo x > {path}; echo y > seen"
            ran = await rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", line]})
            assert hidden_in(work) == [], (path, ran)
