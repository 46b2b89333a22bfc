"""Codes of git repositories."""

from __future__ import annotations

from assent.errors._explanation import Explanation

GIT_CODES: dict[str, Explanation] = {
    "GIT_MISSING": Explanation(
        "The folder that was named holds no `.git`.",
        "Name the folder that does as `repository`; folders above it are not searched.",
    ),
    "GIT_LAYOUT_REFUSED": Explanation(
        "A repository reaches, or might reach, for what is not in it: links, a `.git` file, alternates, includes.",
        "Use a plain clone inside the workspace.",
    ),
    "GIT_UNREADABLE": Explanation(
        "A repository is damaged, lacks an object, or belongs to another user.",
        "`git fsck` tells more; the message says what libgit2 found.",
    ),
    "GIT_LOCKED": Explanation(
        "A lock file of git is there: another program is changing the repository, or died while it did. Nothing was changed.",
        "Try again; when no git runs any more, remove the file that the path names.",
    ),
    "GIT_NAME_INVALID": Explanation(
        "No branch or tag can be called so.",
        "git-check-ref-format(1) tells which names can be used.",
    ),
    "GIT_REF_EXISTS": Explanation(
        "A branch or tag of that name exists, or one that would be its folder.",
        "Choose another name; tags are never moved.",
    ),
    "GIT_REF_MISSING": Explanation(
        "A name stands for nothing in the repository.",
        "Mend the name; branches, tags, full names and full ids are known.",
    ),
    "GIT_BUSY": Explanation(
        "Somebody has begun a merge, a rebase or the like, or has conflicts to resolve.",
        "Finish or abort it by hand first.",
    ),
    "GIT_FILTER_REFUSED": Explanation(
        "Git would store other bytes than a file has, by an attribute or a setting; programs that do so are never run here.",
        "Commit that file with git itself, or name the other files in `paths`.",
    ),
    "GIT_NOTHING_TO_COMMIT": Explanation(
        "Nothing that was named differs from the last commit.",
        "Name new files in `paths`, or pass `allow_empty: true`.",
    ),
    "GIT_BRANCH_IN_USE": Explanation(
        "The current branch can't be deleted: the files are of it.",
        "Switch to another branch first, with git itself.",
    ),
    "GIT_BRANCH_UNMERGED": Explanation(
        "A branch has commits that the current one does not hold.",
        "Pass `force: true`; an undo restores the branch.",
    ),
}
