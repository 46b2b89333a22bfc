"""The first open of a state, on a disk that fails at any call, or under a clock that no entry can hold: never a fault of ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import WorldError
from assent.journal import Ed25519FileSigner
from assent.journal.store import _schema
from assent.runtime._ledger import open_ledger
from assent.system import SystemClock
from tests.support.disk import make_ledger

CALLS = ("fsync", "rename", "unlink", "mkdir", "open")
MOST = 40
"""More calls of one kind than an open makes."""


def _failing(real: Callable[..., Any], at: int, code: int, state: Path) -> Callable[..., Any]:
    count = 0

    def call(*args: Any, **more: Any) -> Any:
        nonlocal count
        path = args[0] if isinstance(args[0], str | os.PathLike) else None
        if path is None or Path(os.fsdecode(path)).is_relative_to(state):
            count += 1
            if count == at:
                raise OSError(code, os.strerror(code), path)
        return real(*args, **more)

    return call


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("name", CALLS)
async def test_failing_disk_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    """At each call in turn; the next open finds a state that works."""
    monkeypatch.setattr(_schema, "_create", make_ledger)
    key = Ed25519FileSigner("assent/x", bytes(32))
    for at in range(1, MOST):
        state = tmp_path / f"{name}{at}"
        state.mkdir(mode=0o700)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, name, _failing(getattr(os, name), at, code, state))
            try:
                journal = open_ledger(state, key.named)
            except WorldError as error:
                assert error.code in ("STATE_UNUSABLE", "DISK_FULL", "STORAGE_FAILED")  # noqa: PT017  # or none
                journal = None
        if journal is not None:
            await journal.close()
            break
        again = open_ledger(state, key.named)
        assert (await again.head()).size == 1
        await again.close()
    else:
        pytest.fail("the call was never reached for the last time")


@pytest.mark.parametrize("now_ms", [-1, -(10**12), 1 << 62, (1 << 63) // 10**6])
async def test_clock_that_no_entry_can_hold_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now_ms: int
) -> None:
    monkeypatch.setattr(SystemClock, "now_ms", lambda _: now_ms)
    with pytest.raises(WorldError) as caught:
        async with Runtime.open(tmp_path):
            pass
    assert caught.value.code == "CLOCK_UNUSABLE"
