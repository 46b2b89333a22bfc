"""The codes of snapshots, of the patches between them, and of replays."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

REPLAY_CODES: Final[dict[str, Explanation]] = {
    "PATCH_INVALID": Explanation(
        "A JSON patch (RFC 6902) does not have the shape of one; every fault is listed.",
        "Mend the operation that the path names.",
    ),
    "PATCH_CONFLICT": Explanation(
        "A JSON patch does not fit the document: a place is missing, or a test found something else. Nothing was changed.",
        "Make the patch again from the document as it is now.",
    ),
    "SNAPSHOT_INVALID": Explanation(
        "A file is no snapshot, was changed since it was written, or is of a format that this version does not read.",
        "Take the snapshot again: `assent show RUN --snapshot FILE`.",
    ),
    "SNAPSHOT_TOO_LARGE": Explanation(
        "What a snapshot would hold is larger than one may be.",
        "Keep large data in files, and their paths or digests in inputs, outputs and state.",
    ),
    "SNAPSHOT_MISMATCH": Explanation(
        "A call's snapshot was to be restored for another capability, version or handler than it was taken of.",
        "Restore it with what it was taken of; `force=True` says that it may be another.",
    ),
    "REPLAY_AMBIGUOUS": Explanation(
        "A replay was to run another version, but the run did not call that capability, or several may be meant.",
        "Name the capability: `--capability-version ID@VERSION`.",
    ),
    "REPLAY_NOT_SIMULABLE": Explanation(
        "A replay was to really run a capability that may act on more than the simulated world.",
        "Replay against what was recorded; a handler that only acts through its world declares `rehearsable`.",
    ),
    "REPLAY_UNKNOWN": Explanation(
        "A replay went another way than the record and met an effect that was never performed.",
        "Nothing: the report says where the record ends.",
    ),
}
