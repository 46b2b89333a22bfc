"""Codes of archives: why one is refused before anything of it is in the workspace."""

from __future__ import annotations

from assent.errors._explanation import Explanation

ARCHIVE_CODES: dict[str, Explanation] = {
    "ARCHIVE_FORMAT_UNKNOWN": Explanation(
        "The name of an archive does not say of which format it is.",
        "Pass `format`, or name the file with one of the endings that the hint lists.",
    ),
    "ARCHIVE_INVALID": Explanation(
        "A file is no archive of its format, or a damaged one. Nothing of it was unpacked.",
        "Fetch it again, or pass the `format` that it really has.",
    ),
    "ARCHIVE_AMBIGUOUS": Explanation(
        "Two programs could find different things in an archive: entries that overlap, two sizes. Nothing of it stays.",
        "Pack it anew from its source; if it came from a stranger, ask why it was made so.",
    ),
    "ARCHIVE_UNSUPPORTED": Explanation(
        "An archive uses a compression or a feature that is not offered, or the format can't hold what is to be packed.",
        "Pack it anew in one of the formats that the documentation lists.",
    ),
    "ARCHIVE_ENCRYPTED": Explanation(
        "An entry of an archive is encrypted. Nothing was unpacked.",
        "Decrypt the archive by other means first.",
    ),
    "ARCHIVE_QUOTA": Explanation(
        "More would have come out of an archive than the call allows, in bytes, entries, depth or ratio. Nothing of it stays.",
        "If you trust its source, raise the parameter that the path names.",
    ),
    "ARCHIVE_ESCAPES": Explanation(
        "An entry of an archive has a name that leads out of the target. Nothing was unpacked.",
        "Treat the archive as hostile, or pack it anew under relative names.",
    ),
    "ARCHIVE_NAME_REFUSED": Explanation(
        "An entry has a name that some system can't store, reads otherwise, or shows otherwise than it is.",
        "Rename it, and pack the archive anew.",
    ),
    "ARCHIVE_NAMES_COLLIDE": Explanation(
        "Two entries of an archive are one file: said twice, or alike where case or Unicode forms do not count.",
        "Rename one of them, and pack the archive anew.",
    ),
    "ARCHIVE_KIND_REFUSED": Explanation(
        "An entry is a link, a device, a pipe or a file with holes; only files and folders are packed and unpacked.",
        "Pack what a link points to instead of the link.",
    ),
}
