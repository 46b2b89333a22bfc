"""`net.http.download`: a file of the workspace, made of an answer; undone, recognised and refused as every change of a file.

What the file will hold is known to nobody before it was fetched, so the intent can't name it. In its place the intent names a
mark: the nanoseconds within the second that the new file's time will have. The content is written beside the target, with the
mark, and is put in place by one rename. So after a crash the file tells itself whether it is ours, and an undo refuses one that
somebody wrote since. On a file system that keeps no nanoseconds nobody can tell after a crash, and a person is asked.

Fetching takes long, so it holds up nobody else: the call takes its turn at the target for the look before, and once more for
a second look with the rename after it.
"""

from __future__ import annotations

import asyncio
import hashlib
import queue
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from assent.capabilities.fs._shapes import place
from assent.capabilities.fs._write import room_for_file
from assent.capabilities.fs.change._change import (
    Change,
    Expected,
    Position,
    Target,
    made_dirs,
    remove_empty_dirs,
)
from assent.capabilities.fs.change._effect import FileEffect
from assent.capabilities.fs.change._path_state import Node, PathState, changed, fingerprinted
from assent.capabilities.fs.change._turns import in_turn, whole
from assent.capabilities.net._answer import excerpt_of, refused
from assent.capabilities.net._client import Header, Http, Received, Sink
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._request import Draft, foresee, wire_of
from assent.capabilities.net._shapes import Download, Downloaded
from assent.errors import InternalError, Json
from assent.invocation import EntryKind, LocalContext, NoEffectError, Prepared, Preview, Reconciliation

_MARK: Final = "mark"


class DownloadEffect(FileEffect[Download, Downloaded]):
    """A file that comes from elsewhere."""

    def plan(self, context: LocalContext, parameters: Download, *, keeps: bool) -> Change:
        path, files = place(parameters.path), context.world.files
        _, new_dirs, folder = room_for_file(
            files, path, overwrite=parameters.overwrite, create_dirs=parameters.create_dirs
        )
        old = self.pre_image(context, path, keeps=keeps)
        before = Expected.of(old, hashed=context.keep_pre_image)
        return Change((Target(path, old, before, _FETCHED),), new_dirs, (folder,))

    def apply(self, context: LocalContext, parameters: Download, change: Change) -> None:
        del context, parameters, change
        raise InternalError("INTERNAL_ERROR", "a download has nothing to put in place before it was fetched")

    def output(self, parameters: Download, change: Change) -> Downloaded:
        del parameters
        target = change.targets[0]
        return Downloaded(
            path=target.path,
            url=None,
            media_type=None,
            size=0,
            sha256="",
            created=not target.old.nodes,
            changed=True,
            created_dirs=list(change.new_dirs),
        )

    def change(self, context: LocalContext) -> Change:
        """The journaled change, with what stands there now as the state after if it is recognised as ours."""
        change = Change.of(context)
        if isinstance(context.output, Mapping) and context.output.get("changed") is False:
            return msgspec.structs.replace(change, targets=())
        target = change.targets[0]
        found = fingerprinted(context.world.files, target.path)
        if not _is_ours(context, found):
            return change
        return msgspec.structs.replace(
            change, targets=(msgspec.structs.replace(target, after=Expected.of(found, hashed=True)),)
        )

    async def fetch_prepared(self, context: LocalContext, parameters: Download) -> Prepared:
        """Check where it comes from and keep what stands where it goes."""
        http = context.app.get(Http)
        draft = _draft(parameters)
        draft.require_sound()
        try:
            await http.check(draft.target, draft.method, str(context.principal))
        except HttpFailure as failure:
            raise failure.to_error(is_safe=True) from failure
        kept = await asyncio.to_thread(self.prepare, context, parameters)
        return Prepared({**kept.state, _MARK: _mark(context)}, kept.blobs)

    async def fetch(self, context: LocalContext, parameters: Download) -> Downloaded:
        """Fetch beside the target, then put it in place. Run again after a crash, it fetches again."""
        change = await asyncio.to_thread(self.change, context)
        target, http = change.targets[0], context.app.get(Http)
        digest = hashlib.sha256()
        async with _begun(context, change):
            wire = await wire_of(context, http, _draft(parameters))
            wire = replace(wire, headers=(*wire.headers, Header("accept-encoding", "identity")))
            try:
                async with pour(context, target, _mark(context)) as take:

                    async def counted(piece: bytes) -> None:
                        digest.update(piece)
                        await take(piece)

                    received = await http.send(
                        wire,
                        principal=str(context.principal),
                        bytes_max=http.limits.download_bytes,
                        follow=parameters.follow_redirects,
                        take=counted,
                    )
                    _require_wanted(context, received, digest.hexdigest(), parameters)
            except HttpFailure as failure:
                raise failure.to_error(is_safe=True) from failure
            is_same = _holds(target.old, received.size, digest.hexdigest())
            await whole(context, partial(_put_in_place, context, change, is_same=is_same))
        return self.output(parameters, change).model_copy(
            update={
                "url": received.url,
                "media_type": excerpt_of(context, received.header("content-type"), 256) or None,
                "size": received.size,
                "sha256": digest.hexdigest(),
                "changed": not is_same,
            }
        )

    def look(self, context: LocalContext, parameters: Download) -> Reconciliation:
        """Compare the world with both states."""
        answer = self.reconcile(context, parameters)
        if not isinstance(answer.output, dict):
            return answer
        found = fingerprinted(context.world.files, place(parameters.path)).nodes[0]
        told: dict[str, Json] = {**answer.output, "size": found.size, "sha256": found.content}
        return msgspec.structs.replace(answer, output=told)

    def preview(self, context: LocalContext, parameters: Download) -> Preview:
        """Where it would come from and where it would go; nobody is asked, so the content is not known."""
        draft = _draft(parameters)
        foresee(context, draft)
        change = self.planned(context, parameters, keeps=False)
        target = change.targets[0]
        wanted = f"sha256 {parameters.sha256}" if parameters.sha256 else "whatever is there"
        made = "".join(f"make {folder}/\n" for folder in change.new_dirs)
        instead = f"in place of: {target.before.text}\n" if target.old.nodes else ""
        text = f"{draft.show()}\nto {target.path}: {wanted}\n{instead}{made}"
        return Preview("text", text, change.base())


_FETCHED: Final = Expected("fetched", hashed=True, text="the downloaded file")
"""The state after, until a file is recognised as it. No snapshot has this identity."""


def _draft(parameters: Download) -> Draft:
    return Draft("GET", parameters.url, parameters.headers, parameters.query)


def _mark(context: LocalContext) -> int:
    """Nanoseconds that nobody else's file has by chance, the same for every attempt."""
    return int.from_bytes(hashlib.sha256(f"{context.key}\0download".encode()).digest()[:8], "big") % SECOND_NS


def _is_ours(context: LocalContext, found: PathState) -> bool:
    """Whether what stands there is what this call put there: by its mark, or by the digest that it answered with."""
    top = found.top
    if top is None or top.kind is not EntryKind.FILE:
        return False
    output = context.output
    if isinstance(output, Mapping) and output.get("sha256") == top.content:
        return True
    return top.mtime_ns % SECOND_NS == (context.prepared or {}).get(_MARK)


def _holds(old: PathState, size: int, sha256: str) -> bool:
    top: Node | None = old.top
    return top is not None and top.size == size and top.content == sha256


def _require_wanted(context: LocalContext, received: Received, sha256: str, parameters: Download) -> None:
    if not 200 <= received.status < 300:
        raise refused(context, received, was_sent=True)
    if parameters.sha256 is not None and parameters.sha256 != sha256:
        raise HttpFailure(
            "HTTP_DIGEST_MISMATCH",
            "what was fetched is not what was asked for",
            hint="look at both digests; nothing was written",
            details={"expected": parameters.sha256, "found": sha256},
        )


@asynccontextmanager
async def _begun(context: LocalContext, change: Change) -> AsyncIterator[None]:
    """Inside, the world was seen as it was before, and the folders on the way are there. When it fails, nothing is left of it."""
    give_up = partial(_give_up, context, change)
    try:
        await whole(context, partial(_begin, context, change))
    except asyncio.CancelledError:  # the folders may be there already
        await whole(context, give_up)
        raise
    try:
        yield
    except BaseException:
        await whole(context, give_up)
        raise


def _begin(context: LocalContext, change: Change) -> None:
    with in_turn(context, change.paths):
        _require_before(context, change)
        change.remove_temporaries(context)
        with made_dirs(context.world.files, change.new_dirs):
            pass


def _give_up(context: LocalContext, change: Change) -> None:
    # What is beside the target is this call's alone, and a folder goes only while it is empty: nobody has to wait for that.
    change.remove_temporaries(context)
    remove_empty_dirs(context.world.files, change.new_dirs)


def _require_before(context: LocalContext, change: Change) -> None:
    if change.position(change.find(context.world.files)) is not Position.BEFORE:
        raise changed(change.targets[0].path)
    change.forbid_programs_of_git(context.world.files)


def _put_in_place(context: LocalContext, change: Change, *, is_same: bool) -> None:
    files, target = context.world.files, change.targets[0]
    with in_turn(context, change.paths):
        # The fetch took its time, and another call may have had its turn meanwhile.
        _require_before(context, change)
        if is_same:
            files.remove_temporary(target.path, key=context.key)
            return
        files.rename(
            files.temporary(target.path, key=context.key), target.path, replace=bool(target.old.nodes)
        )


# Pieces come in where the network is, and are written in a thread, with room for few between them.

SECOND_NS: Final = 1_000_000_000
WAITING_MAX: Final = 8
"""Pieces that may wait to be written; the network has to wait for the disk."""


@asynccontextmanager
async def pour(context: LocalContext, target: Target, mark: int) -> AsyncIterator[Sink]:
    """Inside, what is given to the sink goes into the file beside `target`, whose time gets `mark` as its nanoseconds.

    At the end the file is complete and flushed, still beside the target. When what is inside fails, nothing is left of it.
    """
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(WAITING_MAX)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    is_given_up = False

    def pieces() -> Iterator[bytes]:
        while (piece := waiting.get()) is not None:
            loop.call_soon_threadsafe(room.release)
            yield piece
        if is_given_up:
            raise NoEffectError("CALL_CANCELLED", "the download was given up")

    writing = loop.run_in_executor(None, _write, context, target, mark, pieces())
    # Who waits for room when the disk fails is woken, and finds out.
    writing.add_done_callback(lambda _: room.release())

    async def take(piece: bytes) -> None:
        await room.acquire()
        if writing.done():
            writing.result()
        waiting.put(piece)

    try:
        yield take
        waiting.put(None)
        await writing
    except BaseException:
        is_given_up = True
        waiting.put(None)
        await asyncio.wait({writing})
        if not writing.cancelled():
            writing.exception()  # looked at, so that asyncio does not report it as never retrieved
        raise


def _write(context: LocalContext, target: Target, mark: int, pieces: Iterator[bytes]) -> None:
    files = context.world.files
    beside = files.temporary(target.path, key=context.key)
    # An empty file tells the time of this file system; the content gets it, with the mark, before it is flushed.
    files.write(beside, (), key=context.key)
    entry = files.stat(beside)
    assert entry is not None, "it was written just now"
    time_ns = entry.mtime_ns // SECOND_NS * SECOND_NS + mark
    mode = target.old.nodes[0].mode if target.old.nodes else None
    files.write(beside, pieces, key=context.key, mode=mode, mtime_ns=time_ns)
