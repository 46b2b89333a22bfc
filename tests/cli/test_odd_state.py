"""Whatever stands in a place of the state directory is told as one error with its code: no command hangs, and none says 70."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from assent.cli import main
from assent.errors.explanations import explanations
from tests.support.patience import PATIENCE_S

FLOW = """
name: note
version: 1.0.0
steps:
  - name: write
    capability: io.fs.write_file
    inputs: {path: note.txt, content: hello}
"""

COMMANDS = ("runs", "show", "audit verify", "doctor", "run flow.yaml")
MORE = {"plans": ("plan flow.yaml",), "outbox": ("deliveries",), "outbox/ended": ("deliveries",)}
PLACES = (
    *(".assent", "key"),
    *("ledger.db", "ledger.db-wal", "ledger.db-shm", "lock", "socket", ".socket", ".gitignore"),
    *("blobs", "blobs/tmp", "blobs/tmp/open", "plans", "outbox", "outbox/ended", "sandbox"),
)
NEVER_FINE = {"ledger.db": COMMANDS, "key": ("audit verify", "run flow.yaml"), "outbox": ("run flow.yaml",)}
"""What can't be done with anything else in this place than what belongs there."""


def _socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # The path itself may be too long for one.
        os.close(folder)


def _unreadable(path: Path) -> None:
    path.write_text("x")
    path.chmod(0)


ODD: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(mode=0o700),
    "file": lambda path: path.write_text("x"),
    "long file": lambda path: path.write_text("/" + "x" * 200),
    "FIFO": os.mkfifo,
    "link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "socket": _socket,
    "unreadable": _unreadable,
}


@contextmanager
def patience() -> Iterator[None]:
    """What waits for ever is given up, with `TimeoutError`."""

    def lost(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, lost)
    signal.alarm(PATIENCE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("place", PLACES)
def test_anything_in_any_place_is_told_and_nothing_hangs(
    folder: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """A command works beside it, or ends with one error that has a code."""
    (folder / "flow.yaml").write_text(FLOW)
    (folder / "assent.toml").write_text('[ledger]\nkey = "key"\n')
    assert main(["run", "flow.yaml", "--json"]) == 0
    run = str(json.loads(capsys.readouterr().out)["run_id"])
    kept = shutil.copytree(folder, folder.parent / "kept")
    faults = list[str]()
    for kind, put in ODD.items():
        for command in (*COMMANDS, *MORE.get(place, ())):
            for name in (".assent", "key"):
                remove(folder / name)
            shutil.copytree(kept / ".assent", folder / ".assent")
            shutil.copy2(kept / "key", folder / "key")
            path = folder / place if place in (".assent", "key") else folder / ".assent" / place
            path.parent.mkdir(mode=0o700, exist_ok=True)
            remove(path)
            put(path)
            try:
                with patience():
                    code = main([*command.split(), *([run] if command == "show" else []), "--json"])
            except BaseException as failure:  # noqa: BLE001 - whatever it is, the table goes on
                code = -1
                capsys.readouterr()
                faults.append(f"{kind}, `{command}`: {failure!r}")
                continue
            told = capsys.readouterr().out
            error = json.loads(told.splitlines()[0]).get("error") if told.startswith("{") else None
            is_told = command == "doctor" or (error is not None and error["code"] in explanations())
            if code == 70 or (code != 0 and not is_told):
                faults.append(f"{kind}, `{command}`: {code} {told[:300]}")
            if code == 0 and kind in ("FIFO", "socket") and command in NEVER_FINE.get(place, ()):
                faults.append(f"{kind}, `{command}`: taken as if nothing were wrong")
    assert not faults, "\n".join(faults)
