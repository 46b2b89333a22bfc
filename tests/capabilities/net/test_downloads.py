"""A download is a change of a file like any other, with the limits of downloads."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.fs.change._turns import in_turn
from assent.capabilities.net._download import DownloadEffect, _begun
from assent.errors import RefusedError
from assent.invocation import CancelToken
from tests.support.bodies import workflow
from tests.support.hands import Hands
from tests.support.patience import PATIENCE_S
from tests.support.services import error, fixed, output, service
from tests.support.web import Asked, Reply


async def test_a_download_is_a_change_of_a_file_like_any_other(tmp_path: Path) -> None:
    """Written, found unchanged, replaced with its mode kept, taken back to the byte."""
    content = [b"first"]
    async with service(tmp_path, lambda asked: Reply(200, [("content-type", "a/b")], content[0])) as (
        web,
        rt,
        asked,
    ):
        inputs: dict[str, Any] = {"url": web.url(), "path": "in/f.bin", "create_dirs": True}
        made = await rt.call("net.http.download", inputs)
        told = output(made)
        assert (told["created"], told["created_dirs"], told["size"], told["media_type"]) == (
            True,
            ["in"],
            5,
            "a/b",
        )
        assert asked[0].headers["accept-encoding"] == "identity"
        assert error(await rt.call("net.http.download", inputs))["code"] == "FILE_EXISTS"
        same = await rt.call("net.http.download", inputs | {"overwrite": True})
        assert output(same)["changed"] is False
        (web.files / "in/f.bin").chmod(0o600)
        content[0] = b"second"
        other = await rt.call("net.http.download", inputs | {"overwrite": True})
        assert (web.files / "in/f.bin").read_bytes() == b"second"
        assert (web.files / "in/f.bin").stat().st_mode & 0o777 == 0o600
        assert (await rt.undo(other.run_id)).status == "undone"
        assert (web.files / "in/f.bin").read_bytes() == b"first"
        (web.files / "in/f.bin").chmod(0o644)
        assert (await rt.undo(same.run_id)).status == "undone"
        assert (web.files / "in/f.bin").read_bytes() == b"first"


async def test_what_somebody_wrote_since_is_not_taken_back(tmp_path: Path) -> None:
    """Their work is not ours to overwrite."""
    async with service(tmp_path, fixed(200, b"ours")) as (web, rt, _):
        done = await rt.call("net.http.download", {"url": web.url(), "path": "f"})
        (web.files / "f").write_bytes(b"theirs")
        with pytest.raises(RefusedError, match="not as this step left it"):
            await rt.undo(done.run_id)
        assert (web.files / "f").read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("status", "fields", "code"),
    [
        (200, {"sha256": "0" * 64}, "HTTP_DIGEST_MISMATCH"),
        (404, {}, "HTTP_STATUS"),
        (304, {}, "HTTP_STATUS"),
        (302, {"follow_redirects": False}, "HTTP_STATUS"),
        (200, {"path": "missing/f"}, "FILE_NOT_FOUND"),
        (200, {"path": "folder"}, "IS_A_DIRECTORY"),
        (200, {"url": "http://10.0.0.1/"}, "EGRESS_DENIED"),
    ],
)
async def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, status: int, fields: dict[str, Any], code: str
) -> None:
    """No file, no folder, no temporary name."""
    async with service(tmp_path, fixed(status, b"body")) as (web, rt, _):
        (web.files / "folder").mkdir()
        before = sorted(one.name for one in web.files.iterdir())
        inputs: dict[str, Any] = {
            "url": web.url(),
            "path": "made/f",
            "create_dirs": "path" not in fields,
            **fields,
        }
        result = await rt.call("net.http.download", inputs)
        assert (result.status, error(result)["code"]) == ("failed", code)
        assert sorted(one.name for one in web.files.iterdir()) == before


async def test_a_download_is_as_large_as_downloads_may_be(tmp_path: Path) -> None:
    """A limit of its own, and many pieces on the way to the disk."""
    data = os.urandom(3 << 20)
    async with service(tmp_path, fixed(200, data), "[net]\ndownload_bytes = 3145728\n") as (web, rt, _):
        assert output(await rt.call("net.http.download", {"url": web.url(), "path": "f"}))["size"] == len(
            data
        )
        assert (web.files / "f").read_bytes() == data
    async with service(tmp_path, fixed(200, data), "[net]\ndownload_bytes = 3145727\n") as (web, rt, _):
        failed = await rt.call("net.http.download", {"url": web.url(), "path": "g"})
        assert error(failed)["code"] == "HTTP_BODY_TOO_LARGE"
        assert not (web.files / "g").exists()


def download(name: str, url: str) -> dict[str, Any]:
    """A step that waits for no other and fetches to `f`."""
    inputs = {"url": url, "path": "f", "overwrite": True}
    return {"name": name, "capability": "net.http.download", "inputs": inputs, "depends_on": []}


async def test_of_two_downloads_to_one_file_one_is_refused(tmp_path: Path) -> None:
    """Both have looked before either writes; the second sees that it would write over the first."""
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def answer(asked: Asked) -> Reply:
        both.wait()
        return Reply(200, [], asked.path.encode())

    async with service(tmp_path, answer) as (web, rt, asked):
        (web.files / "f").write_text("before")
        one, two = download("one", web.url("/one")), download("two", web.url("/two"))
        result = await rt.run(workflow(one, two))
        assert sorted(one.path for one in asked) == ["/one", "/two"]
        assert {step.status for step in result.steps} == {"failed", "compensated"}, result
        assert [step.error["code"] for step in result.steps if step.error] == ["FILE_CHANGED"]
        assert (web.files / "f").read_text() == "before"
        assert sorted(one.name for one in web.files.iterdir()) == ["assent.toml", "f"]


async def test_a_download_sees_what_was_written_while_it_fetched(tmp_path: Path) -> None:
    """What came meanwhile is not written over, whatever stood there when the fetch began."""

    def answer(_asked: Asked) -> Reply:
        (tmp_path / "work" / "f").write_text("theirs")
        return Reply(200, [], b"fetched")

    async with service(tmp_path, answer) as (web, rt, asked):
        (web.files / "f").write_text("before")
        inputs: dict[str, Any] = {"url": web.url(), "path": "f", "overwrite": True}
        result = await rt.call("net.http.download", inputs)
        assert (result.status, error(result)["code"], len(asked)) == ("failed", "FILE_CHANGED", 1)
        assert (web.files / "f").read_text() == "theirs"
        assert sorted(one.name for one in web.files.iterdir()) == ["assent.toml", "f"]


async def test_a_download_that_is_ended_before_its_turn_leaves_nothing(tmp_path: Path) -> None:
    """It waits for whoever changes the file; when its call ends, its thread does too, and no folder is left."""
    waits = threading.Event()

    class Watched(CancelToken):
        @property
        def is_cancelled(self) -> bool:
            waits.set()  # whoever waits asks whether it is still wanted
            return super().is_cancelled

    hands = Hands.on(tmp_path)
    step = hands.step("net.http.download", url="http://a.test/", path="made/f", create_dirs=True)
    change = DownloadEffect().plan(step.context, step.parameters, keeps=False)
    object.__setattr__(step.context, "cancel", Watched())

    async def begin() -> None:
        async with _begun(step.context, change):
            pytest.fail("it was not its turn")

    with in_turn(hands.step("sys.noop").context, ["made"]):
        begins = asyncio.ensure_future(begin())
        assert await asyncio.to_thread(waits.wait, PATIENCE_S)
        begins.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begins
    assert [one.name for one in tmp_path.iterdir()] == [".assent"]
