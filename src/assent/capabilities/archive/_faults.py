"""Why an archive is refused, each reason with one code of its own; nothing has been written when one is raised."""

from __future__ import annotations

from assent.capabilities.fs.world._paths import shown
from assent.errors import Json
from assent.invocation import NoEffectError


def invalid(why: str) -> NoEffectError:
    """The bytes are no archive of their format, or a damaged one."""
    return NoEffectError(
        "ARCHIVE_INVALID",
        f"the archive can't be read: {why}",
        hint="it is damaged, cut short, or of another format than its name says",
    )


def ambiguous(why: str) -> NoEffectError:
    """Two programs could find different things in the archive."""
    return NoEffectError(
        "ARCHIVE_AMBIGUOUS",
        f"the archive can be read in two ways: {why}",
        hint="what a scanner sees in such an archive need not be what is unpacked; pack it anew from its source",
    )


def unsupported(what: str) -> NoEffectError:
    """The archive needs something that is not offered."""
    return NoEffectError(
        "ARCHIVE_UNSUPPORTED",
        f"the archive uses {what}, which is not supported",
        hint="pack it anew, for example with `sys.archive.pack`",
    )


def encrypted(name: str) -> NoEffectError:
    """An entry is encrypted."""
    return NoEffectError(
        "ARCHIVE_ENCRYPTED",
        f"the entry `{shown(name)}` is encrypted",
        hint="decrypt the archive by other means first",
    )


def quota(what: str, limit: int, unit: str, parameter: str) -> NoEffectError:
    """More would come out than was allowed."""
    details: dict[str, Json] = {"limit": limit, "unit": unit, "parameter": parameter}
    return NoEffectError(
        "ARCHIVE_QUOTA",
        f"the archive {what}: more than {limit} {unit}",
        path=parameter,
        hint=f"raise `{parameter}` if you trust its source",
        details=details,
    )


def name_refused(name: str, why: str) -> NoEffectError:
    """An entry has a name that no entry may have."""
    return NoEffectError(
        "ARCHIVE_NAME_REFUSED",
        f"the entry `{shown(name)}` {why}",
        hint="pack it anew under plain names",
        details={"entry": shown(name)},
    )


def escaping(name: str, why: str) -> NoEffectError:
    """An entry would land outside the target."""
    return NoEffectError(
        "ARCHIVE_ESCAPES",
        f"the entry `{shown(name)}` {why}: it would land outside the target",
        hint="whoever made this archive may mean harm; nothing of it was unpacked",
        details={"entry": shown(name)},
    )


def colliding(name: str, other: str) -> NoEffectError:
    """Two entries are one and the same file, here or on another system."""
    same = (
        "stands in the archive twice"
        if name == other
        else f"and `{shown(other)}` are one name on some systems"
    )
    return NoEffectError(
        "ARCHIVE_NAMES_COLLIDE",
        f"the entry `{shown(name)}` {same}",
        hint="rename one of them, or remove the duplicate, and pack it anew",
        details={"entry": shown(name), "other": shown(other)},
    )


def kind_refused(name: str, what: str) -> NoEffectError:
    """An entry is neither a file nor a folder."""
    return NoEffectError(
        "ARCHIVE_KIND_REFUSED",
        f"the entry `{shown(name)}` is {what}; only files and folders are unpacked",
        hint="pack what it points to instead of it",
        details={"entry": shown(name), "kind": what},
    )
