"""That a chunk was indexed: a proof of `knowledge.prove`, joined to the entry of the ledger that binds its root, and checked.

Theory of operation. Who may prove a chunk is decided by the governed call. Here nothing is looked at but the ledger: whoever asks
holds the way from a chunk to a root already, and is told which entry says that root, and nothing of any other chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from assent.capabilities.knowledge.area import ROOTS
from assent.errors import InputError, Json
from assent.journal import open_plain, rows_at_once
from assent.knowledge.manifest import Cut, Proof, checked_bundle, verify
from assent.runtime._ledger import reading
from assent.runtime.service import answers, requests
from assent.runtime.service._outcomes import entries, malformed, read, require, verified
from assent.runtime.service._reading import Record, told_entry
from assent.spec.values.typed import convert, decode

if TYPE_CHECKING:
    from assent.journal import ProvenEntry
    from assent.runtime._ledger import LedgerReader

LINE_BYTES_MAX: Final = 1 << 20
"""The longest line of an export."""
_WHAT: Final = "a chunk that was indexed"


class _Outcome(msgspec.Struct):
    tenant: str
    repository: str
    generation: int
    root: str


async def _prove_knowledge(record: Record, request: requests.ProveKnowledge) -> answers.KnowledgeProof:
    """Which entry binds the root of a proof."""
    root = _proof_in(request.manifest).root
    wanted = (str(record.settings.areas["knowledge"]["tenant"]), request.repository, root)
    with reading(record.settings.state) as journal:
        for begun, done, salt, body in () if journal is None else _outcomes(journal):
            said = decode(body, _Outcome)
            if (said.tenant, said.repository, said.root) == wanted:
                with record.reader() as reader:
                    return answers.KnowledgeProof(
                        manifest=request.manifest,
                        outcome=body.decode(),
                        salt=salt.hex(),
                        entry=done,
                        proof=reader.prove(done),
                        began=reader.prove(begun),
                    )
    raise InputError(
        "KNOWLEDGE_ROOT_UNRECORDED",
        f"no outcome in the ledger says this root of the repository `{request.repository}`",
        hint="index the repository again, and prove the chunk anew",
        details={"root": root},
    )


def _outcomes(journal: LedgerReader) -> Iterator[tuple[int, int, bytes, bytes]]:
    """What says roots, the newest first: the entries by which the step began and succeeded, the salt, and the outcome.

    Also of a step that was taken back: its root may be in force again, by an undo, whose own outcome says none.
    """
    for act in rows_at_once(journal, "knowledge_acts", newest_first=True):
        if act["is_undo"] or act["capability"] not in ROOTS:
            continue
        done = int(act["seq"] or 0)
        found = entries(journal, done, ROOTS)
        opened = None if found is None else journal.opened(found[1])
        if found is not None and opened is not None:  # It was erased otherwise.
            yield found[0], done, *opened


def proven(text: str, key: str) -> tuple[ProvenEntry, answers.ProvenChunk]:
    """What a proof shows, checked with the ledger's public key alone: from the chunk to the signed root.

    `InputError` `PROOF_MALFORMED`, `PROOF_INVALID`, and what the proof of an entry may raise.
    """
    said = read(text, answers.KnowledgeProof, _WHAT)
    try:
        outcome = decode(said.outcome, _Outcome)
    except ValueError as error:
        raise malformed(_WHAT, error) from None
    its = _proof_in(said.manifest)
    entry = verified(said, key, ROOTS, "an act that made a root")
    require((outcome.root == its.root, "the outcome names another root"))
    chunk = answers.ProvenChunk(
        tenant=outcome.tenant,
        repository=outcome.repository,
        generation=outcome.generation,
        root=its.root,
        path=its.path,
        file_digest=its.digest,
        language=its.language,
        label=its.label,
        number=its.number,
        chunks=its.chunks,
        file=its.file,
        files=its.files,
        **msgspec.structs.asdict(its.chunk),
    )
    return entry, chunk


async def _verify_knowledge(record: Record, request: requests.VerifyKnowledge) -> answers.ProvenExport:
    """The last line is the proof of one chunk, and the lines before make its root."""
    del record  # who checks a file needs no state of ours
    last = b""

    def but_last(lines: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal last
        for line in lines:
            if last:
                yield last
            last = line

    try:
        with BufferedReader(open_plain(Path(request.file))) as file:
            counts = checked_bundle(but_last(iter(lambda: file.readline(LINE_BYTES_MAX), b"")))
    except FileNotFoundError:
        raise InputError("FILE_MISSING", f"there is no file `{request.file}`", path=request.file) from None
    except OSError as error:
        raise InputError(
            "FILE_UNREADABLE", f"`{request.file}` can't be read: {error.strerror}", path=request.file
        ) from None
    entry, chunk = proven(last.decode(errors="replace"), request.key)
    require((chunk.root == counts.root, "the lines make another root than the one that is proved"))
    return convert({**counts._asdict(), **told_entry(entry), "chunk": chunk}, answers.ProvenExport)


def _proof_in(said: Mapping[str, Json]) -> Proof:
    """The way from a chunk to its root, as `knowledge.prove` said it, which holds."""
    try:
        cut = convert(said.get("chunk"), dict[str, str | int])
        proof = convert({**said, "chunk": [cut.get(name) for name in Cut.__struct_fields__]}, Proof)
        # What nothing proves has no place in a proof.
        holds = cut.keys() == {*Cut.__struct_fields__} and verify(proof, proof.root)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise malformed(_WHAT, error) from None
    require((holds, "the chunk is not in the manifest with this root"))
    return proof
