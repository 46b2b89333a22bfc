"""Files that people hand over: nobody else's call has them, no other capability, and none stays when its run is over."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assent import Runtime
from assent.capabilities import handed as handed_files
from assent.capabilities.handed import HANDED, KEPT_MS, WAITS_MS, Handed, Upload
from assent.errors import AssentError, InputError, WorldError
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.runtime.settings.effective import Settings
from assent.system import SystemClock

DATA = b"admin\nlogin\n"
DIGEST = sha256(DATA).hexdigest()
IMPORT, PUBLISH = "findings.import", "resource.publish"
_POLICY = """\
version: 1
rules:
  - {id: no, when: {capability: resource.publish}, if: 'inputs.reference.endsWith(":denied")', decision: DENY, reason: test}
  - {id: ask, when: {capability: resource.publish}, if: 'inputs.reference.endsWith(":asked")', decision: REQUIRE_APPROVAL,
     reason: test}
  - {id: all, when: {principal: "*"}, decision: ALLOW, without_approval: true, reason: test}
"""

Add = Callable[..., Upload]


def context(
    principal: str = "user:ann", capability: str = PUBLISH
) -> Any:  # `Any`: what is read of a call's context
    return SimpleNamespace(principal=principal, capability=capability)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / HANDED


@pytest.fixture
def add(folder: Path) -> Add:
    def add(
        upload: str = "upload-1", principal: str = "user:ann", capability: str = PUBLISH, data: bytes = DATA
    ) -> Upload:
        digest, size = Handed(folder.parent).add(
            upload, data, principal=principal, capability=capability, offset=0, is_last=True
        )
        return Upload(upload=upload, blob=str(digest), bytes=size)

    return add


def taken(folder: Path, one: Upload, **by: str) -> bytes | str:
    try:
        return b"".join(Handed(folder.parent).read(one, context(**by)))
    except AssentError as error:
        return error.code


def test_only_whoever_handed_a_file_over_has_it_and_only_for_its_purpose(folder: Path, add: Add) -> None:
    one = add()
    assert taken(folder, one) == DATA
    gone = "FILE_NOT_HANDED_OVER"
    assert taken(folder, one, principal="agent:ann") == gone
    assert taken(folder, one, principal="user:bob") == gone
    assert taken(folder, one, capability=IMPORT) == gone
    assert taken(folder, one.model_copy(update={"upload": "upload-2"})) == gone
    assert taken(folder, one.model_copy(update={"blob": "0" * 64})) == gone
    assert taken(folder, one.model_copy(update={"bytes": one.bytes + 1})) == gone, "its size is not looked at"
    Handed(folder.parent).drop(one, "agent:ann", PUBLISH)
    assert taken(folder, one) == DATA
    Handed(folder.parent).drop(one, "user:ann", PUBLISH)
    assert taken(folder, one) == gone


def test_two_principals_may_use_one_name_and_one_file_may_wait_twice(folder: Path, add: Add) -> None:
    own, others, again = add(), add(principal="agent:bot", data=b"other"), add("upload-2")
    assert taken(folder, others, principal="agent:bot") == b"other"
    Handed(folder.parent).drop(own, "user:ann", PUBLISH)
    assert taken(folder, again) == DATA


def test_nothing_is_handed_over_for_what_takes_no_file(folder: Path, add: Add) -> None:
    with pytest.raises(AssentError) as raised:
        add(capability="io.fs.write_file")
    assert (raised.value.code, raised.value.path) == ("UPLOAD_INVALID", "capability")
    assert not folder.exists()


def test_parts_come_in_order_and_a_file_has_a_limit(
    folder: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_files, "FILE_BYTES_MAX", len(DATA))
    add()
    with pytest.raises(AssentError) as raised:
        Handed(folder.parent).add(
            "upload-2", DATA, principal="user:ann", capability=PUBLISH, offset=5, is_last=True
        )
    assert (raised.value.code, raised.value.path) == ("UPLOAD_INVALID", "offset")
    with pytest.raises(AssentError) as raised:
        add("../upload")
    assert (raised.value.code, raised.value.path) == ("UPLOAD_INVALID", "upload")
    with pytest.raises(AssentError) as raised:
        add("upload-3", data=DATA + b"x")
    assert raised.value.code == "FILE_TOO_LARGE"
    assert not [*folder.glob("*.upload-3.*")]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "DISK_FULL"), (errno.EDQUOT, "DISK_FULL"), (errno.EIO, "STATE_UNUSABLE")],
)
def test_what_the_disk_refuses_leaves_nothing(
    folder: Path, add: Add, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def refuse(_number: int) -> None:
        raise OSError(number, os.strerror(number))

    Handed(folder.parent).drop(add(), "user:ann", PUBLISH)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(AssentError) as raised:
        add()
    assert raised.value.code == code
    assert [*folder.iterdir()] == []


def test_a_state_in_which_nothing_can_be_made_is_told(
    folder: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(AssentError) as raised:
        add()
    assert raised.value.code == "STATE_UNUSABLE"
    assert not folder.exists()


def test_so_many_files_of_one_principal_wait_and_no_more(
    folder: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_files, "WAITING_FILES_MAX", 2)
    files = Handed(folder.parent)
    add()
    files.add("upload-2", b"x", principal="user:ann", capability=PUBLISH, offset=0, is_last=False)
    with pytest.raises(AssentError) as raised:
        add("upload-3")
    assert raised.value.code == "UPLOADS_FULL"
    assert "2 files with 13 bytes" in raised.value.message
    add("upload-3", principal="agent:bot")
    whole = files.add("upload-2", b"y", principal="user:ann", capability=PUBLISH, offset=1, is_last=True)
    assert whole == (sha256(b"xy").hexdigest(), 2), "what is coming already is refused"


def test_so_many_bytes_of_one_principal_wait_and_no_more(
    folder: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handed_files, "WAITING_BYTES_MAX", 20)
    one = add()
    with pytest.raises(AssentError) as raised:
        add("upload-2")
    assert raised.value.code == "UPLOADS_FULL"
    Handed(folder.parent).drop(one, "user:ann", PUBLISH)
    add("upload-2")


def test_a_file_that_its_call_takes_while_others_are_counted_is_no_fault(
    folder: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    gone = folder / next(folder.iterdir()).name.replace("upload-1", "upload-9")
    (folder / gone.name).symlink_to(folder / "nowhere")
    assert add("upload-2").bytes == len(DATA)


def test_parts_that_are_sent_at_once_are_not_mixed(folder: Path) -> None:
    """Each that was taken is as it was sent, whole: the other is refused, or begins anew."""

    def send(byte: bytes) -> bool:
        data = byte * 100_000
        try:
            digest, _ = Handed(folder.parent).add(
                "upload-1", data, principal="user:ann", capability=PUBLISH, offset=0, is_last=True
            )
        except InputError:
            return False
        assert digest == sha256(data).hexdigest()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert any(pool.map(send, [b"a", b"b", b"c", b"d"] * 25))
    for path in folder.iterdir():
        assert path.name.endswith(f".{sha256(path.read_bytes()).hexdigest()}")


def test_a_part_waits_for_another_and_begins_anew_where_that_was_the_last(folder: Path, add: Add) -> None:
    add("upload-2")  # makes the folder
    parts = partial(Handed(folder.parent).add, "upload-1", principal="user:ann", capability=PUBLISH)
    assert parts(b"ab", offset=0, is_last=False) == (None, 2)
    (temporary,) = folder.glob("*.part")
    with temporary.open("ab") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = pool.submit(parts, b"cd", offset=2, is_last=True)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        temporary.unlink()
        fcntl.flock(other, fcntl.LOCK_UN)
        with pytest.raises(InputError, match="0 bytes of the upload are here"):
            waiting.result(10)


@pytest.mark.parametrize("offset", [7, 1])
def test_a_part_that_is_refused_leaves_what_was_there_and_no_empty_file(folder: Path, offset: int) -> None:
    parts = partial(Handed(folder.parent).add, "upload-1", principal="user:ann", capability=PUBLISH)
    with pytest.raises(InputError, match="UPLOAD_INVALID"):
        parts(b"x", offset=offset, is_last=False)
    assert [*folder.iterdir()] == []
    parts(b"ab", offset=0, is_last=False)
    with pytest.raises(InputError, match="UPLOAD_INVALID"):
        parts(b"x", offset=offset, is_last=False)
    assert parts(b"cd", offset=2, is_last=True) == (sha256(b"abcd").hexdigest(), 4)


def test_a_file_that_is_too_large_or_can_t_be_kept_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = partial(Handed(folder.parent).add, "upload-1", principal="user:ann", capability=PUBLISH)
    monkeypatch.setattr(handed_files, "FILE_BYTES_MAX", 3)
    parts(b"ab", offset=0, is_last=False)
    with pytest.raises(InputError, match="FILE_TOO_LARGE"):
        parts(b"cd", offset=2, is_last=False)
    assert [*folder.iterdir()] == []
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(WorldError, match="DISK_FULL"):
        parts(b"ab", offset=0, is_last=True)
    assert [*folder.iterdir()] == []


def test_what_no_call_came_for_goes_after_a_day_and_what_waits_stays(folder: Path, add: Add) -> None:
    files = Handed(folder.parent)
    assert not files.has_any()
    files.sweep(0)
    one, waiting = add(), add("upload-2")
    assert files.has_any()
    now_ms = int(next(folder.iterdir()).stat().st_mtime * 1000)
    named = [(PUBLISH, None), (PUBLISH, {"blob": 1}), (PUBLISH, waiting.model_dump())]
    files.after_run(named, "user:ann", has_ended=False, now_ms=now_ms)
    files.after_run([(PUBLISH, one.model_dump())], "agent:bot", has_ended=True, now_ms=now_ms)
    files.after_run([(IMPORT, one.model_dump())], "user:ann", has_ended=True, now_ms=now_ms)
    files.sweep(now_ms + KEPT_MS - 60_000)
    assert taken(folder, one) == DATA
    files.sweep(now_ms + KEPT_MS + 60_000)
    assert taken(folder, one) == "FILE_NOT_HANDED_OVER"
    assert taken(folder, waiting) == DATA
    files.sweep(now_ms + WAITS_MS + KEPT_MS + 60_000)
    assert not files.has_any()


@pytest.fixture
def settings(tmp_path: Path, clean_env: dict[str, str]) -> Settings:
    (tmp_path / "policy.yaml").write_text(_POLICY)
    (tmp_path / "policy.yaml").chmod(0o600)
    (tmp_path / "assent.toml").write_text('policy = "policy.yaml"\n')
    return Settings.resolve(workspace=tmp_path, environ=clean_env, cwd=tmp_path)


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    async with Runtime(settings) as opened:
        yield opened


async def hand_over(settings: Settings, principal: str | None = None, upload: str = "upload-1") -> Any:
    asked = requests.HandOver(upload=upload, capability=PUBLISH, data=DATA)
    by = requests.Asker(principal=principal or str(settings.principal), asserted=principal is not None)
    answer = await Service(settings).perform(asked, by=by)
    return {"upload": answer.upload, "blob": answer.blob, "bytes": answer.bytes}


def waits(file: Path) -> bool:
    """It is kept for as long as somebody may decide."""
    return file.stat().st_mtime * 1000 > SystemClock().now_ms() + WAITS_MS - KEPT_MS


def left(settings: Settings) -> int:
    return len([*(settings.state / HANDED).iterdir()])


async def test_an_agent_does_not_get_what_a_person_handed_over(settings: Settings, runtime: Runtime) -> None:
    handed = await hand_over(settings)
    parameters = {"reference": "res://global/payloads/odd:1", "handed": handed}
    result = await runtime.call("resource.publish", parameters, principal="agent:bot")
    assert result.error is not None
    assert result.error["code"] == "FILE_NOT_HANDED_OVER"
    assert left(settings) == 1, "the end of another's run took it"
    result = await runtime.call("resource.publish", parameters)
    assert (result.status, left(settings)) == ("succeeded", 0)


@pytest.mark.parametrize("how", ["denied", "asked", "failed"])
async def test_a_call_that_ends_without_its_file_leaves_none(
    settings: Settings, runtime: Runtime, how: str
) -> None:
    handed = await hand_over(settings)
    reference = "res://nowhere/x" if how == "failed" else f"res://global/payloads/odd:{how}"
    result = await runtime.call("resource.publish", {"reference": reference, "handed": handed})
    if how == "asked":
        (file,) = (settings.state / HANDED).iterdir()
        assert result.status == "waiting"
        assert waits(file)
        await runtime.reject(result.run_id)
    assert left(settings) == 0


async def test_a_workflow_and_a_session_name_files_too(settings: Settings, runtime: Runtime) -> None:
    handed = await hand_over(settings)
    document = """
name: publish
inputs: {file: {type: object}}
steps:
  - name: publish
    capability: resource.publish
    inputs: {reference: "res://global/payloads/odd:denied", handed: "${{ inputs.file }}"}
"""
    path = settings.workspace / "publish.yaml"
    path.write_text(document)
    result = await runtime.run(path, {"file": handed})
    assert (result.status == "succeeded", left(settings)) == (False, 0)
    handed = await hand_over(settings)
    session = await runtime.session()
    parameters = {"reference": "res://global/payloads/odd:asked", "handed": handed}
    asked = await session.call("resource.publish", parameters)
    assert asked.status == "awaiting_approval"
    (file,) = (settings.state / HANDED).iterdir()
    assert waits(file)
    await runtime.reject(session.run_id)
    await session.close()
    assert left(settings) == 0
