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
