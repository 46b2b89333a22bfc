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
}
