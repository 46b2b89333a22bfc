"""Who acts: proven by the account, asserted by the process, or refused. For all tables of names, accounts and roles."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.errors import RefusedError
from assent.runtime.settings.effective import Identities, Settings, own_name
from tests.support.properties import holds
from tests.support.seeds import examples

UIDS = st.sampled_from([0, 1, 1000, 4242, 65534, os.getuid()])
NAMES = st.sampled_from(
    ["user:ann", "user:root", "agent:bot", "service:ci", "service:a.b@c+d-e/f", own_name(os.getuid())]
)
ROLES = st.frozensets(st.sampled_from(["operator", "agent", "reviewer"]))


@holds("authentication")
@given(
    strict=st.booleans(),
    uids=st.dictionaries(NAMES, UIDS),
    roles=st.dictionaries(NAMES, ROLES),
    name=NAMES,
    uid=UIDS,
    asserted=st.booleans(),
)
def test_what_is_not_mapped_is_asserted_and_strict_refuses_it(
    *,
    strict: bool,
    uids: dict[str, int],
    roles: dict[str, frozenset[str]],
    name: str,
    uid: int,
    asserted: bool,
) -> None:
    """Proven is a name that is mapped to the caller's account, or its own login that is mapped to nobody else. Any other needs
    to be admitted as an assertion, which strict mode refuses. Roles come from the table alone."""
    table = Identities(strict=strict, roles=roles, uids=uids)
    proven = uids[name] == uid if name in uids else name == own_name(uid)
    assert table.is_proven(name, uid) == proven
    if proven or (asserted and not strict):
        principal = table.principal_of(name, asserted=asserted, os_uid=uid)
        assert str(principal) == name
        assert principal.roles == roles.get(name, frozenset())
    else:
        with pytest.raises(RefusedError) as refused:
            table.principal_of(name, asserted=asserted, os_uid=uid)
        assert refused.value.code == "IDENTITY_REFUSED"
        assert f"uid = {uid}" in str(refused.value.hint)


@given(st.dictionaries(NAMES, UIDS), NAMES, UIDS)
def test_strict_mode_gives_no_account_another_accounts_name(
    uids: dict[str, int], name: str, uid: int
) -> None:
    """Under strict mode no name is given to two accounts, whoever asserts what."""
    table = Identities(strict=True, uids=uids)
    holders = set()
    for account in {0, 1, 1000, 4242, 65534, os.getuid(), uid}:
        for asserted in (True, False):
            try:
                table.principal_of(name, asserted=asserted, os_uid=account)
            except RefusedError:
                continue
            holders.add(account)
    assert len(holders) <= 1


@settings(max_examples=examples(40))
@given(st.booleans(), st.dictionaries(NAMES, st.tuples(st.none() | UIDS, ROLES)), NAMES)
def test_the_table_of_a_workspace_says_the_same(
    strict: bool, table: dict[str, tuple[int | None, frozenset[str]]], name: str
) -> None:
    """What `assent.toml` says is what holds: a command that acts as `--as NAME` is proven, asserted, or refused by it."""
    lines = ["[identity]", f"strict = {str(strict).lower()}"]
    for who, (uid, roles) in table.items():
        kind, _, ident = who.partition(":")
        listed = ", ".join(f'"{role}"' for role in sorted(roles))
        lines += [f'[identity.{kind}s."{ident}"]', f"roles = [{listed}]"]
        lines += [f"uid = {uid}"] if uid is not None else []
    own = os.getuid()
    mapped = table.get(name, (None, frozenset()))[0]
    proven = mapped == own if mapped is not None else name == own_name(own)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "assent.toml").write_text("\n".join(lines))

        def resolve() -> Settings:
            return Settings.resolve(principal=name, environ={"HOME": folder}, cwd=root)

        if strict and not proven:
            with pytest.raises(RefusedError, match="user id"):
                resolve()
            return
        found = resolve()
        assert str(found.principal) == name
        assert found.asserted == (not proven)
        assert found.principal.roles == table.get(name, (None, frozenset()))[1]
        if not proven:
            with pytest.raises(RefusedError):
                found.principal_of(name, asserted=False, os_uid=own)
