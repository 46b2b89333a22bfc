"""A download is a change of a file like any other, with the limits of downloads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from assent.errors import RefusedError
from tests.support.services import error, fixed, output, service
from tests.support.web import Reply


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
