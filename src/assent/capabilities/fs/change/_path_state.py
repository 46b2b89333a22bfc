"""The state of one path at one moment: nothing, a file, a link or a whole tree; taken, compared, kept and put back.

A snapshot's nodes are in walking order, a folder before what it holds. Two questions are asked of it, so it has two digests:
`identity(hashed=True)` covers kinds, names, permission bits and contents; `identity(hashed=False)` has sizes and modification
times in the place of contents and costs no reading. Times of folders and the time of a rewrite cannot be known beforehand and
stand in neither.

Kept, it is two blobs at most however many files there are: the contents, one after the other (`pack`), and the list of nodes
when that is long (`manifest`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from assent.capabilities.fs.world._faults import wrong_kind
from assent.capabilities.fs.world._paths import join, refusal, shown
from assent.errors import InternalError, Json
from assent.invocation import BlobStore, EntryKind, Files, LocalContext, NoEffectError
from assent.spec.words.sizes import count_text

NODES_MAX: Final = 100_000
"""Entries in one tree that a single call may act on."""

_INLINE_NODES_MAX: Final = 16
_PERMISSIONS: Final = 0o777


@dataclass(frozen=True, slots=True)
class Node:
    """One entry of a tree. `path` is relative to the tree's top, which is the empty text itself.

    `content` is a file's SHA-256 in hex (empty when it was not read), a link's target, and empty for a folder. `links` counts
    a file's names when it was seen; it is not kept.
    """

    path: str
    kind: EntryKind
    mode: int
    mtime_ns: int
    size: int
    content: str = ""
    links: int = field(default=1, compare=False)

    def under(self, top: str) -> str:
        """The node's path when its tree's top stands at `top`."""
        return join(top, self.path) if self.path else top

    def to_json(self) -> Json:
        # Nanoseconds since 1970 pass 2^53, which JSON readers may round: they travel as text.
        return [self.path, self.kind.value, self.mode, str(self.mtime_ns), self.size, self.content]

    @classmethod
    def from_json(cls, data: Json) -> Node:
        """The node that `to_json` described."""
        match data:
            case [str(path), str(kind), int(mode), str(mtime_ns), int(size), str(content)]:
                return cls(path, EntryKind(kind), mode, int(mtime_ns), size, content)
            case _:
                raise InternalError("RECORD_CORRUPT", "a journaled pre-image has a node of another shape")


@dataclass(frozen=True, slots=True)
class PathState:
    """What stood at a path; without nodes, nothing did. `pack` is the digest of the blob with its files' contents."""

    nodes: tuple[Node, ...] = ()
    pack: str | None = None

    @property
    def top(self) -> Node | None:
        """The entry at the path itself."""
        return self.nodes[0] if self.nodes else None

    @property
    def kind(self) -> EntryKind | None:
        """What stood at the path; None for nothing."""
        return self.nodes[0].kind if self.nodes else None

    @property
    def size(self) -> int:
        """Bytes in all its files."""
        return sum(node.size for node in self.nodes)

    def identity(self, *, hashed: bool) -> str:
        """Two snapshots with the same one are the same state. 64 hex digits, or `absent`."""
        if not self.nodes:
            return "absent"
        digest = hashlib.sha256()
        for node in self.nodes:
            is_file = node.kind is EntryKind.FILE
            content = str(node.mtime_ns) if is_file and not hashed else node.content
            # A link has no permissions of its own; what a system reports for them says nothing.
            mode = 0 if node.kind is EntryKind.SYMLINK else node.mode & _PERMISSIONS
            line = json.dumps([node.path, node.kind.value, mode, node.size, content])
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    def describe(self) -> str:
        """The state in a few words, for a person who must decide between two of them."""
        top = self.top
        if top is None:
            return "nothing"
        mode = f"mode {top.mode & _PERMISSIONS:04o}"
        if top.kind is EntryKind.FILE:
            content = f", sha256 {top.content[:12]}" if top.content else ""
            return f"file, {count_text(top.size, 'byte')}, {mode}{content}"
        if top.kind is EntryKind.SYMLINK:
            return f"symbolic link to `{shown(top.content)}`"
        inner = len(self.nodes) - 1
        held = f"{count_text(inner, 'entry', 'entries')}, {count_text(self.size, 'byte')}"
        return f"directory, {mode}, {held}, digest {self.identity(hashed=False)[:12]}"

    def to_json(self, blobs: BlobStore | None) -> tuple[dict[str, Json], tuple[str, ...]]:
        """The snapshot as JSON, and the digests of the blobs that it refers to; a long list of nodes becomes one itself."""
        nodes: list[Json] = [node.to_json() for node in self.nodes]
        kept = () if self.pack is None else (self.pack,)
        data: dict[str, Json] = {"pack": self.pack}
        if blobs is None or (len(nodes) <= _INLINE_NODES_MAX and _is_utf8(self.nodes)):
            return {**data, "nodes": nodes}, kept
        # A blob may hold names that are no UTF-8 (as escaped surrogates), which a journaled payload may not.
        manifest = blobs.put([json.dumps(nodes).encode()])
        return {**data, "manifest": manifest, "count": len(nodes)}, (*kept, manifest)

    @classmethod
    def from_json(cls, data: Mapping[str, Json], blobs: BlobStore) -> PathState:
        """The snapshot that `to_json` described."""
        pack, nodes, manifest = data.get("pack"), data.get("nodes"), data.get("manifest")
        if isinstance(manifest, str):
            nodes = json.loads(b"".join(blobs.read(manifest)))
        if not isinstance(nodes, Sequence) or isinstance(nodes, str):
            raise InternalError("RECORD_CORRUPT", "a journaled pre-image has no list of nodes")
        return cls(tuple(map(Node.from_json, nodes)), pack if isinstance(pack, str) else None)


def _is_utf8(nodes: Iterable[Node]) -> bool:
    try:
        for node in nodes:
            f"{node.path}{node.content}".encode()
    except UnicodeEncodeError:
        return False
    return True


def survey(files: Files, path: str) -> PathState:
    """What stands at `path`, without reading any file. Raises FILE_KIND_UNSUPPORTED for pipes, sockets and devices."""
    nodes: list[Node] = []
    _collect(files, path, "", nodes)
    return PathState(tuple(nodes))


def _collect(files: Files, top: str, inner: str, nodes: list[Node]) -> None:
    path = join(top, inner) if inner else top
    entry = files.stat(path)
    if entry is None:
        return
    if len(nodes) >= NODES_MAX:
        why = f"holds more than {NODES_MAX} entries"
        raise refusal("TREE_TOO_LARGE", top, why, "act on its folders one by one")
    content = files.read_link(path) if entry.kind is EntryKind.SYMLINK else ""
    if entry.kind is EntryKind.OTHER:
        raise wrong_kind(path)
    nodes.append(Node(inner, entry.kind, entry.mode, entry.mtime_ns, entry.size, content, entry.links))
    if entry.kind is EntryKind.DIRECTORY:
        for name in files.list(path):
            _collect(files, top, join(inner, name) if inner else name, nodes)


def fingerprinted(files: Files, path: str) -> PathState:
    """What stands at `path`, every file read and hashed."""
    found = survey(files, path)
    nodes = (
        replace(node, content=content_digest(files.read(node.under(path))))
        if node.kind is EntryKind.FILE
        else node
        for node in found.nodes
    )
    return PathState(tuple(nodes))


def keep(context: LocalContext, path: str, *, bytes_max: int, store: bool) -> PathState:
    """What stands at `path`, hashed, its contents in the blob store: enough to put it back later.

    Without `store` nothing is stored, but everything that would refuse it is still refused: a plan should say so.

    Raises `NoEffectError`: PRE_IMAGE_TOO_LARGE, FILE_HARD_LINKED (restoring would not restore the link), FILE_CHANGED (it was
    written to while it was read).
    """
    files = context.world.files
    found = survey(files, path)
    if found.size > bytes_max:
        raise NoEffectError(
            "PRE_IMAGE_TOO_LARGE",
            f"`{shown(path)}` has {found.size} bytes; at most {bytes_max} are kept for an undo",
            path=shown(path),
            hint="raise `max_pre_image_bytes`, or give the step `undo: none`",
            details={"size": found.size, "limit": bytes_max},
        )
    hashed: list[Node] = []

    def contents() -> Iterator[bytes]:
        for node in found.nodes:
            if node.kind is not EntryKind.FILE:
                hashed.append(node)
                continue
            digest, size = hashlib.sha256(), 0
            _require_single(node, node.under(path))
            for chunk in files.read(node.under(path)):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
            if size != node.size:
                raise changed(node.under(path))
            hashed.append(replace(node, content=digest.hexdigest()))

    if found.size == 0 or not store:
        for _ in context.unexposed(
            contents(), f"`{shown(path)}`, which an undo would keep,", path=shown(path)
        ):
            pass
        return PathState(tuple(hashed))
    try:
        pack = context.blobs.put(contents())
    except NoEffectError as error:
        error.path = error.path or shown(path)
        raise
    return PathState(tuple(hashed), pack)


def _require_single(node: Node, path: str) -> None:
    """Refuse a file that has another name somewhere: putting back its bytes would not put back the link."""
    if node.links > 1:
        raise refusal(
            "FILE_HARD_LINKED",
            path,
            f"has {node.links} names (hard links); undo could not restore that",
            "break the link first, or give the step `undo: none`",
        )


def changed(path: str) -> NoEffectError:
    """Somebody else changed `path` between the look and the act."""
    return refusal(
        "FILE_CHANGED",
        path,
        "was changed by somebody else while this call was under way",
        "look at it, then run the step again",
    )


def put_back(context: LocalContext, path: str, kept: PathState) -> None:
    """Put a kept snapshot in place, where nothing stands or a file that it may replace: one rename, whatever its size."""
    files, top = context.world.files, kept.top
    assert top is not None, "nothing is put back by removing"
    contents = Unpacker(context.blobs, kept)
    if top.kind is EntryKind.FILE:
        files.write(
            path, contents.of(top), key=context.key, mode=top.mode, mtime_ns=top.mtime_ns, restores=True
        )
        return
    place = files.temporary(path, key=context.key)
    files.remove_temporary(path, key=context.key)
    build(context, place, kept, contents.of, restores=True)
    files.rename(place, path, replace=False)


class Unpacker:
    """Hands out files' contents from a pack, which is read once from front to back: nodes must be asked in their order."""

    def __init__(self, blobs: BlobStore, kept: PathState) -> None:
        self._chunks = blobs.read(kept.pack) if kept.pack is not None else iter(())
        self._rest = b""

    def of(self, node: Node) -> Iterator[bytes]:
        missing = node.size
        while missing:
            chunk = self._rest or next(self._chunks, b"")
            if not chunk:
                raise InternalError("RECORD_CORRUPT", "a pre-image is shorter than what it was taken of")
            piece, self._rest = chunk[:missing], chunk[missing:]
            missing -= len(piece)
            yield piece


def build(
    context: LocalContext,
    place: str,
    kept: PathState,
    contents: Callable[[Node], Iterable[bytes]],
    *,
    restores: bool,
) -> None:
    """Build a snapshot's tree at `place`, where nothing stands: modes as they were, folders last.

    One that `restores` what stood here before has the times of then as well, and whatever contents.
    """
    files = context.world.files
    for node in kept.nodes:
        mtime_ns = node.mtime_ns if restores else None
        where = node.under(place)
        if node.kind is EntryKind.DIRECTORY:
            files.make_dir(where, mode=0o700)
        elif node.kind is EntryKind.SYMLINK:
            files.make_link(where, node.content)
            if restores:
                files.set_attributes(where, mtime_ns=mtime_ns)
        else:
            files.write(
                where, contents(node), key=context.key, mode=node.mode, mtime_ns=mtime_ns, restores=restores
            )
    for node in reversed(kept.nodes):
        if node.kind is EntryKind.DIRECTORY:
            mtime_ns = node.mtime_ns if restores else None
            files.set_attributes(node.under(place), mode=node.mode, mtime_ns=mtime_ns)


def content_digest(chunks: Iterable[bytes]) -> str:
    """The SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
