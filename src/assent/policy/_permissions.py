"""Who may change the policy file: a gate whose rules anybody can rewrite is no gate."""

from __future__ import annotations

import stat

from assent.errors import InputError


def require_private(mode: int, path: str) -> None:
    """Do nothing when a file of this mode (`st_mode`) can be changed by its owner only, else `InputError` POLICY_PERMISSIONS."""
    writable = mode & (stat.S_IWGRP | stat.S_IWOTH)
    if writable:
        who = "everybody" if writable & stat.S_IWOTH else "its group"
        raise InputError(
            "POLICY_PERMISSIONS",
            f"the policy `{path}` can be changed by {who}",
            path=path,
            hint=f"chmod go-w {path}",
            details={"mode": f"{stat.S_IMODE(mode):04o}"},
        )
