"""Why a git capability refuses, each reason with a code."""

from __future__ import annotations

from assent.capabilities.fs.world._paths import refusal, shown
from assent.invocation import NoEffectError


def refused_layout(path: str, why: str) -> NoEffectError:
    """The repository reaches, or might reach, for what is not in it."""
    return NoEffectError(
        "GIT_LAYOUT_REFUSED",
        f"the repository at `{shown(path)}` {why}",
        path=shown(path),
        hint="only a plain repository is used: a `.git` folder with everything in it, inside the workspace",
    )


def missing_repository(path: str) -> NoEffectError:
    """No repository stands there."""
    return refusal(
        "GIT_MISSING",
        path,
        "is not a git repository",
        "name the folder that holds `.git` as `repository`; folders above it are not searched",
    )


def unreadable(path: str, why: str) -> NoEffectError:
    """The repository is damaged, or belongs to somebody else."""
    return NoEffectError(
        "GIT_UNREADABLE",
        f"the repository at `{shown(path)}` can't be read: {why}",
        path=shown(path),
        hint="`git fsck` tells more",
    )


def locked(path: str) -> NoEffectError:
    """Somebody else is changing the repository at this moment."""
    return refusal(
        "GIT_LOCKED",
        path,
        "is there: another program is changing the repository, or died while it did",
        "try again; when no git runs any more, remove the file",
    )


def bad_name(name: str, what: str) -> NoEffectError:
    """No branch or tag can be called so."""
    return NoEffectError(
        "GIT_NAME_INVALID",
        f"`{shown(name)}` can't be the name of a {what}",
        hint="git-check-ref-format(1) says which names can; it may not begin with `-`",
    )


def ref_exists(name: str, other: str) -> NoEffectError:
    """The name, or one that is a folder of it, is taken."""
    why = "exists already" if name == other else f"can't stand beside `{shown(other)}`"
    return NoEffectError("GIT_REF_EXISTS", f"`{shown(name)}` {why}", hint="choose another name")


def ref_missing(name: str) -> NoEffectError:
    """Nothing is called so."""
    return NoEffectError(
        "GIT_REF_MISSING",
        f"`{shown(name)}` names nothing in the repository",
        hint="branches, tags and full ids are known",
    )


def conflict_state(why: str) -> NoEffectError:
    """The repository is in the middle of something."""
    return NoEffectError("GIT_BUSY", f"the repository {why}", hint="finish or abort that by hand first")


def filtered(path: str, what: str) -> NoEffectError:
    """Git would store other bytes than the file has."""
    return NoEffectError(
        "GIT_FILTER_REFUSED",
        f"git would change `{shown(path)}` before storing it ({what}), which is not done here",
        path=shown(path),
        hint="commit this file with git itself, or leave it out with `paths`",
    )
