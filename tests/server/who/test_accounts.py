"""A Unix socket: the kernel names the account at the other end, and the configuration says who that is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assent.errors import RefusedError
from assent.runtime.settings.effective import Settings, own_name
from assent.server.who import Gatehouse, Presented

OWN = os.getuid()
OTHER = 60_001
ME = own_name(OWN)

CASES = {
    "our own account": ("", OWN, ME),
    "our own account under another name too": (f"[identity.users.ann]\nuid = {OWN}", OWN, ME),
    "a login that belongs to another account": (f"[identity.users.{ME.removeprefix('user:')}]\nuid = {OTHER}", OWN, None),
    "an account that nobody mapped": ("", OTHER, None),
    "an account that is mapped": (f"[identity.services.ci]\nuid = {OTHER}", OTHER, "service:ci"),
    "an account that is two": (f"[identity.users.ann]\nuid = {OTHER}\n[identity.users.bob]\nuid = {OTHER}", OTHER, None),
    "no account": ("", None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_an_account_is_its_own_name_or_what_is_mapped_to_it(tmp_path: Path, case: str) -> None:
    table, uid, principal = CASES[case]
    (tmp_path / "assent.toml").write_text(table)
    settings = Settings.resolve(workspace=tmp_path, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    presented = Presented(door="socket", peer=f"uid:{uid}", os_uid=uid)
    if principal is None:
        with pytest.raises(RefusedError) as refused:
            await Gatehouse(settings).authenticate(presented)
        assert refused.value.code == "NOT_IDENTIFIED"
        return
    caller = await Gatehouse(settings).authenticate(presented)
    assert (caller.asker.principal, caller.identified_by, caller.scopes) == (principal, "peer_uid", None)
