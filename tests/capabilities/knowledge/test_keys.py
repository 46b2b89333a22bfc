"""The keys of what was indexed are where the configuration says, and are replaced without anything being lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from assent import Runtime
from assent.capabilities.area import Check
from assent.capabilities.knowledge import _keys, area
from assent.cli import main
from assent.errors import Json
from assent.invocation import CancelToken
from assent.runtime.doctor import _files
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring import knowledge_keys
from assent.runtime.wiring.knowledge_keys import KeychainKeys
from assent.spec.states import RunState
from tests.support.bodies import code
from tests.support.key_pairs import pair_in
from tests.support.knowledge_places import ADA, POLICY


def workspace_of(tmp_path: Path, knowledge: str = "") -> Path:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    ledger = f'[ledger]\nkey = "{tmp_path}/keys/ledger.key"\n'
    (work / "assent.toml").write_text(f'policy = "policy.yaml"\n{ledger}[knowledge]\n{knowledge}\n')
    (work / "policy.yaml").write_text(POLICY)
    (work / "policy.yaml").chmod(0o600)
    (work / "a.md").write_text("the quartz lies here\n")
    return work


def keys_in(tmp_path: Path) -> list[str]:
    folder = tmp_path / "keys" / "ledger.key.knowledge"
    return sorted(one.name for one in folder.iterdir() if "knowledge" in one.name)


def doctors_word(work: Path) -> Check:
    settings = Settings.resolve(workspace=work, environ={}, cwd=work)
    (check,) = [one for one in _files.checks(settings) if one.name == "knowledge key"]
    return check


async def found(rt: Runtime) -> int:
    result = await rt.call("knowledge.search", {"query": "quartz"}, principal=ADA)
    assert result.error is None, result.error
    outputs: Any = result.outputs
    return len(outputs["hits"])


async def test_keys_are_replaced(tmp_path: Path) -> None:
    work = workspace_of(tmp_path)
    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
        (before,) = keys_in(tmp_path)
        result = await rt.call("knowledge.rotate_key", principal=ADA)
        assert result.outputs == {"tenant": "workspace", "is_done": True}
        (after,) = keys_in(tmp_path)
        assert before != after
        assert await found(rt) == 1
    async with Runtime.open(workspace=work) as rt:
        assert await found(rt) == 1
        assert (await rt.call("knowledge.verify", principal=ADA)).error is None


def test_what_is_cancelled_goes_on_the_next_time() -> None:
    steps = [True, True, False]
    store = SimpleNamespace(rotate=lambda: steps.pop(0), require_keys=lambda: None)
    library = SimpleNamespace(store=store, tenant="ours", pace=lambda: lambda: True)
    app = SimpleNamespace(get=lambda _: library)
    context: Any = SimpleNamespace(app=app, cancel=CancelToken(), progress=lambda *_, **__: None)
    context.cancel.cancel()
    (told,) = [one for needed, one in area.WORDS.items() if needed == {"tenant", "is_done"}]
    assert "say it again" in told(_keys.rotate_key(context).model_dump())
    context.cancel = CancelToken()
    assert told(_keys.rotate_key(context).model_dump()).splitlines() == [
        "all keys of `ours` are replaced",
        "  a copy of the master key that was made before opens nothing any more: make another",
    ]
    assert steps == []


async def test_keys_are_sealed_under_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge_keys, "_SCRYPT_COST", 2)
    work = workspace_of(tmp_path, f'passphrase_file = "{tmp_path}/phrase"')
    phrase = tmp_path / "phrase"
    async with Runtime.open(workspace=work) as rt:
        result = await rt.call("knowledge.index", principal=ADA)
        assert code(result) == "KNOWLEDGE_KEY_MISSING"
    phrase.write_text("a long one")
    phrase.chmod(0o600)
    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
        assert await found(rt) == 1
    phrase.write_text("another one")
    async with Runtime.open(workspace=work) as rt:
        result = await rt.call("knowledge.search", {"query": "quartz"}, principal=ADA)
        assert code(result) == "KNOWLEDGE_KEY_WRONG"
    check = doctors_word(work)
    assert (check.status, "does not open the master key" in check.seen) == ("fault", True)
    phrase.unlink()
    check = doctors_word(work)
    assert (check.status, "the file of the passphrase is not there" in check.seen) == ("fault", True)
    workspace_of(tmp_path)
    async with Runtime.open(workspace=work) as rt:
        result = await rt.call("knowledge.search", {"query": "quartz"}, principal=ADA)
        assert "sealed under a passphrase" in str(result.error)
    assert "sealed under a passphrase" in doctors_word(work).seen


async def test_a_passphrase_is_begun_with_by_a_rotation_and_changed_by_a_recovery(tmp_path: Path) -> None:
    phrase, kept = tmp_path / "phrase", tmp_path / "keys" / "ledger.key.knowledge"
    sealed = f'passphrase_file = "{phrase}"'
    secret, _, recipient = pair_in(tmp_path)
    async with Runtime.open(workspace=workspace_of(tmp_path)) as rt:
        await rt.call("knowledge.index", principal=ADA)
        await rt.call("knowledge.escrow", {"recipients": [recipient]}, principal=ADA)
    phrase.write_text("a long one")
    phrase.chmod(0o600)
    work = workspace_of(tmp_path, sealed)
    async with Runtime.open(workspace=work) as rt:
        assert await found(rt) == 1
        check = doctors_word(work)
        assert (check.status, check.hint) == (
            "warning",
            "have it replaced by one that is sealed: assent knowledge key rotate",
        )
        assert (await rt.call("knowledge.rotate_key", principal=ADA)).error is None
        assert await found(rt) == 1
    check = doctors_word(work)
    assert (check.status, "under a passphrase" in check.seen) == ("ok", True)
    for said, text in ((sealed, "another one"), ("", "")):
        phrase.write_text(text)
        async with Runtime.open(workspace=workspace_of(tmp_path, said)) as rt:
            assert (
                await rt.call("knowledge.recover", {"key_file": str(secret)}, principal=ADA)
            ).error is None
            assert await found(rt) == 1
            assert (await rt.call("knowledge.index", principal=ADA)).error is None
        assert doctors_word(work).status == "ok"
    assert [(kept / one).stat().st_size for one in keys_in(tmp_path)] == [45]


async def test_the_doctor_judges_no_key_of_another_workspace(tmp_path: Path) -> None:
    """One key may sign several ledgers, and what is beside it is theirs together."""
    work, folder = workspace_of(tmp_path), tmp_path / "keys" / "ledger.key.knowledge"
    folder.mkdir(parents=True)
    others = folder / f"knowledge-{'0' * 32}-{'1' * 16}-1.key"
    others.touch(0o600)
    assert "not there yet" in doctors_word(work).seen
    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
    assert doctors_word(work).status == "ok"
    for one in folder.glob("knowledge-*"):
        if one != others:
            one.unlink()
    assert doctors_word(work).seen.startswith("gone")


async def test_whoever_lost_the_passphrase_can_erase_and_index_again(tmp_path: Path) -> None:
    phrase = tmp_path / "phrase"
    phrase.touch(0o600)
    work = workspace_of(tmp_path, f'passphrase_file = "{phrase}"')
    for text in ("a long one", "another one"):
        phrase.write_text(text)
        async with Runtime.open(workspace=work) as rt:
            await rt.call("knowledge.erase_tenant", {"tenant": "workspace"}, principal=ADA)
            assert (await rt.call("knowledge.index", principal=ADA)).error is None
            assert await found(rt) == 1


async def test_nobody_is_asked_about_what_would_be_refused(tmp_path: Path) -> None:
    """What `work` may do is asked about by the policy that there is without a file."""
    _, _, recipient = pair_in(tmp_path)
    work = workspace_of(tmp_path)
    (work / "assent.toml").write_text(
        (work / "assent.toml").read_text().replace('policy = "policy.yaml"', "")
    )

    async def refused(verb: str, **said: Json) -> str | None:
        result = await rt.call(f"knowledge.{verb}", said, principal=ADA)
        assert result.status is RunState.FAILED, (verb, result.status)
        return code(result)

    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
        assert await refused("erase_tenant", tenant="works") == "KNOWLEDGE_TENANT_DIFFERS"
        # Of files of this machine nothing is told before somebody has agreed.
        for verb, said in (
            ("recover", {"key_file": str(tmp_path / "none.pem")}),
            ("use_model", {"folder": str(tmp_path)}),
        ):
            assert (await rt.call(f"knowledge.{verb}", said, principal=ADA)).status is RunState.WAITING
    kept = tmp_path / "keys" / "ledger.key.knowledge"
    kept.rename(tmp_path / "lost")
    async with Runtime.open(workspace=work) as rt:
        assert await refused("rotate_key") == "KNOWLEDGE_KEY_MISSING"
        assert await refused("escrow", recipients=[recipient]) == "KNOWLEDGE_KEY_MISSING"


async def test_keys_are_kept_in_the_keychain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(KeychainKeys, "load", lambda _, name: kept.get(name))
    monkeypatch.setattr(KeychainKeys, "keep", lambda _, name, key: kept.update({name: key}))
    work = workspace_of(tmp_path, 'key = "keychain"')
    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
        assert await found(rt) == 1
    assert any(name.startswith("knowledge-") for name in kept)
    assert not (tmp_path / "keys" / "ledger.key.knowledge").exists()
    assert doctors_word(work).status == "ok"
    workspace_of(tmp_path)
    check = doctors_word(work)
    assert (check.status, "or `key` under `[knowledge]` as it was" in str(check.hint)) == ("fault", True)


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("", "not there yet: the first `knowledge index` makes a file (mode 0600)"),
        ('passphrase_file = "phrase"', "makes a file (under a passphrase)"),
        ('key = "keychain"', "in the system's keychain"),
    ],
)
def test_doctor_tells_where_keys_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, seen: str
) -> None:
    work = workspace_of(tmp_path, said)
    (work / "phrase").touch(mode=0o600)
    (work / "phrase").write_text("a long one")
    main(["doctor", "--workspace", str(work)])
    assert seen in " ".join(capsys.readouterr().out.split())


def test_doctor_tells_that_a_key_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = workspace_of(tmp_path)
    (tmp_path / "keys" / "ledger.key.knowledge").mkdir(parents=True)
    main(["doctor", "--workspace", str(work)])
    assert f"signs the ledger, in `{tmp_path}" in " ".join(capsys.readouterr().out.split())


async def test_encryption_is_switched_by_name_and_by_making_the_store_anew(tmp_path: Path) -> None:
    outputs: list[Any] = []
    for said, header in (("", None), ('encryption = "off"', b"SQLite format 3\0"), ("", None)):
        work = workspace_of(tmp_path, said)
        async with Runtime.open(workspace=work) as rt:
            if outputs:
                for verb in ("search", "index", "use_model", "status", "rotate_key"):
                    question = {"query": "quartz"} if verb == "search" else {}
                    refused = await rt.call(f"knowledge.{verb}", question, principal=ADA)
                    assert code(refused) == "KNOWLEDGE_ENCRYPTION_DIFFERS", verb
                erased = await rt.call("knowledge.erase_tenant", {"tenant": "workspace"}, principal=ADA)
                assert erased.error is None
                assert keys_in(tmp_path) == []
            result = await rt.call("knowledge.index", principal=ADA)
            outputs.append(result.outputs)
            assert await found(rt) == 1
            status: Any = (await rt.call("knowledge.status", principal=ADA)).outputs
            assert status["encryption"] == outputs[-1]["encryption"]
            rotated = await rt.call("knowledge.rotate_key", principal=ADA)
            assert rotated.status is (RunState.SUCCEEDED if header is None else RunState.FAILED)
        (store,) = (work / ".assent" / "knowledge").glob("*.db")
        assert store.read_bytes().startswith(header or b"") is True
        assert (b"SQLite format 3" in store.read_bytes()) is (header is not None)
    assert [(one["encryption"], bool(one["key"])) for one in outputs] == [
        ("on", True),
        ("off", False),
        ("on", True),
    ]


async def test_the_sample_of_an_encryption_toggle_is_done_and_each_step_is_on_the_ledger(
    tmp_path: Path, samples: Path
) -> None:
    """What `encryption-toggle.trace` tells (enabled, verified, its key rotated), as acts of this product (issue 15)."""
    acts = {"enable": "index", "verify": "verify", "rotate-key": "rotate_key"}
    trace = yaml.safe_load((samples / "embednexus/golden/security/encryption-toggle.trace").read_text())
    steps = [f"knowledge.{acts[one['action']]}" for one in trace["sequence"]]
    assert len(steps) == len(acts)
    async with Runtime.open(workspace=workspace_of(tmp_path)) as rt:
        for step in steps:
            assert (await rt.call(step, principal=ADA)).error is None, step
        assert [(run.capability, run.status, run.principal) for run in (await rt.runs()).runs] == [
            (step, "succeeded", str(ADA)) for step in steps
        ]
        status: Any = (await rt.call("knowledge.status", principal=ADA)).outputs
        assert {"enabled": "on"}[trace["state"]] == status["encryption"]
        assert await found(rt) == 1


def test_encryption_that_is_off_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workspace_of(tmp_path, 'encryption = "off"'))
    said = "encryption is off: whoever has the state directory can read what is indexed"
    for words in (["knowledge", "index"], ["knowledge", "status"], ["doctor"]):
        main(words)
        assert said in capsys.readouterr().out
    main(["doctor"])
    assert "1 store, not encrypted" in capsys.readouterr().out
    workspace_of(tmp_path, 'encryption = "of"')
    assert main(["knowledge", "status"]) == 2
    assert "must be `on` or `off`" in capsys.readouterr().err


async def test_a_lost_key_is_recovered_by_a_recipient_also_after_a_rotation(tmp_path: Path) -> None:
    work = workspace_of(tmp_path)
    secret, _, recipient = pair_in(tmp_path)
    kept = tmp_path / "keys" / "ledger.key.knowledge"
    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
        escrow = await rt.call("knowledge.escrow", {"recipients": [recipient]}, principal=ADA)
        assert escrow.outputs == {"tenant": "workspace", "recipients": [recipient]}
        await rt.call("knowledge.rotate_key", principal=ADA)
        status: Any = (await rt.call("knowledge.status", principal=ADA)).outputs
        assert status["recipients"] == [recipient]
        for bad in ("00" * 32, "xy"):
            refused = await rt.call("knowledge.escrow", {"recipients": [bad]}, principal=ADA)
            assert code(refused) in {"KNOWLEDGE_RECIPIENT_INVALID", "INVALID_INPUT"}
            assert refused.status is RunState.FAILED
    shutil.rmtree(kept)
    async with Runtime.open(workspace=work) as rt:
        lost = await rt.call("knowledge.search", {"query": "quartz"}, principal=ADA)
        assert code(lost) == "KNOWLEDGE_KEY_MISSING"
        result = await rt.call("knowledge.recover", {"key_file": str(secret)}, principal=ADA)
        assert result.outputs == {"tenant": "workspace", "recipient": recipient}
        assert await found(rt) == 1
        assert (await rt.call("knowledge.escrow", principal=ADA)).error is None
    shutil.rmtree(kept)
    async with Runtime.open(workspace=work) as rt:
        result = await rt.call("knowledge.recover", {"key_file": str(secret)}, principal=ADA)
        assert (code(result), result.status) == ("KNOWLEDGE_KEY_WRONG", RunState.FAILED)
        for name, why in (("none.pem", "no such file"), ("public.pem", "holds no X25519 private key")):
            (tmp_path / "public.pem").chmod(0o600)
            result = await rt.call("knowledge.recover", {"key_file": str(tmp_path / name)}, principal=ADA)
            assert (code(result), result.status) == ("KNOWLEDGE_RECIPIENT_INVALID", RunState.FAILED)
            assert why in str(result.error)


async def test_where_a_key_is_lost_for_good_the_help_leads_to_an_index_again(tmp_path: Path) -> None:
    work = workspace_of(tmp_path)
    async with Runtime.open(workspace=work) as rt:
        await rt.call("knowledge.index", principal=ADA)
    settings = Settings.resolve(workspace=work, environ={}, cwd=work)
    assert _files._knowledge_key(settings).status == "ok"
    for one in (tmp_path / "keys" / "ledger.key.knowledge").glob("knowledge-*"):
        one.rename(one.with_name("knowledge-of-another-workspace-1.key"))
    check = _files._knowledge_key(settings)
    assert (check.status, "nothing else opens the store" in check.seen) == ("fault", True)
    async with Runtime.open(workspace=work) as rt:
        lost = await rt.call("knowledge.index", principal=ADA)
        assert code(lost) == "KNOWLEDGE_KEY_MISSING"
        assert lost.error is not None
        assert "`assent knowledge erase TENANT`" in str(lost.error["hint"])
        await rt.call("knowledge.erase_tenant", {"tenant": "workspace"}, principal=ADA)
        assert "not there yet" in _files._knowledge_key(settings).seen
        await rt.call("knowledge.index", principal=ADA)
        assert await found(rt) == 1


def test_recovery_is_asked_about_and_needs_a_public_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = workspace_of(tmp_path)
    monkeypatch.chdir(work)
    secret, public, recipient = pair_in(tmp_path)
    assert main(["knowledge", "index"]) == 0
    assert main(["knowledge", "key", "escrow", str(public)]) == 0
    capsys.readouterr()
    assert main(["knowledge", "status"]) == 0
    assert f"the master key can be recovered by {recipient}" in capsys.readouterr().out
    assert main(["knowledge", "key", "recover", str(secret)]) == 0
    capsys.readouterr()
    assert main(["knowledge", "key", "escrow", str(secret)]) == 2
    assert "the file holds no X25519 public key in PEM form" in capsys.readouterr().err
    for words in ([], ["--off", str(public)]):
        assert main(["knowledge", "key", "escrow", *words]) == 2
        assert "name a file for each recipient, or say --off" in capsys.readouterr().err
    (work / "policy.yaml").unlink()
    (work / "assent.toml").write_text(
        (work / "assent.toml").read_text().replace('policy = "policy.yaml"', "")
    )
    assert main(["knowledge", "key", "escrow", "--off"]) == 4
    assert main(["knowledge", "key", "recover", str(secret)]) == 4
    capsys.readouterr()
    public.chmod(0o600)
    assert main(["knowledge", "key", "recover", str(public)]) == 2
    assert "holds no X25519 private key" in capsys.readouterr().err
    secret.chmod(0o640)
    assert main(["knowledge", "key", "recover", str(secret)]) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert main(["knowledge", "model", "add", str(tmp_path)]) == 2
    assert "name a folder with a whole model" in capsys.readouterr().err
