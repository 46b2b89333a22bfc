"""What somebody put into a state directory leads nobody out of it, and holds nobody up."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from assent import Runtime
from assent.errors import AssentError
from tests.support.patience import PATIENCE_S

DIGEST = "ab" * 32
CAPTURE = f"sandbox/{DIGEST}"
PLACES = (
    *(
        "blobs",
        "blobs/tmp",
        f"blobs/{DIGEST[:2]}",
        "outbox",
        "outbox/ended",
        "plans",
        "plugins",
        "logs",
        ".gitignore",
    ),
    *("sandbox", CAPTURE, f"{CAPTURE}/layer", f"{CAPTURE}/layer/upper", "lock", "socket", ".socket"),
    *("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.new"),
)
FILES = (
    "plans/plan_x.json",
    f"{CAPTURE}/runs",
    f"{CAPTURE}/ended.json",
    f"outbox/msg_{'0' * 32}.json",
    *PLACES,
)


def seen(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() if path.is_file() else "" for path in sorted(folder.rglob("*"))}


async def use(workspace: Path) -> str:
    """The code that somebody is refused with who works there; empty where nobody is."""
    try:
        async with asyncio.timeout(PATIENCE_S), Runtime.open(workspace) as runtime:
            await runtime.call("io.fs.write_file", {"path": "a.txt", "content": "b"})
            runtime.deliveries.list()
    except AssentError as error:
        return error.code
    return ""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a key of its own, and a file whose content is kept when it is written over."""
    workspace = tmp_path / "workspace"
    (workspace / ".assent").mkdir(parents=True, mode=0o700)
    (workspace / "a.txt").write_text("a")
    (workspace / "assent.toml").write_text(f'[ledger]\nkey = "{tmp_path}/key"\n')
    return workspace


@pytest.mark.parametrize("place", PLACES)
async def test_nothing_behind_a_link_is_touched(tmp_path: Path, workspace: Path, place: str) -> None:
    """Wherever in the state it stands, and whether anything is behind it."""
    others = tmp_path / "others"
    for name in ("one.txt", "folder/two.txt", "layer/three.txt", f"{DIGEST[2:]}", ".gitignore"):
        (others / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (others / name).write_text("precious")
    before = seen(others)
    for target in (others, others / "one.txt", others / "absent"):
        link = workspace / ".assent" / place
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert await use(workspace) in {
            "",
            "STATE_UNSAFE",
            "STATE_UNUSABLE",
            "STATE_FOREIGN",
            "STORAGE_FAILED",
        }
        assert seen(others) == before


@pytest.mark.parametrize("place", FILES)
async def test_nobody_waits_for_a_fifo(workspace: Path, place: str) -> None:
    """Nor reads a link to something without an end."""
    file = workspace / ".assent" / place
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        make(file)
        await use(workspace)
