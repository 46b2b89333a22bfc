"""`assent findings prove`: what is written convinces whoever has the ledger's key, and nothing that was changed in it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import to_builtins

from assent.errors import AssentError
from assent.runtime.service import process, requests
from assent.runtime.service.findings._proofs import proven
from assent.runtime.settings.effective import Settings
from tests.support.crashing import noted
from tests.support.nursery import Nursery
from tests.support.own_places import own_places
from tests.support.proofs import REFUSED, changed_from
from tests.support.scanned import GOLDEN

SCAN: Final = GOLDEN / "nuclei-3.10.jsonl"


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with own_places(tmp_path_factory.mktemp("proof"), {"PATH": "/usr/bin:/bin"}) as found:
        yield found


@pytest.fixture(scope="module")
def settings(env: dict[str, str], nursery: Nursery) -> Settings:
    """A workspace with imported findings."""
    work = Path(env["HOME"]) / "work"
    work.mkdir()
    ended = nursery.run("findings", "import", str(SCAN), "-p", "shop", cwd=work, env=env)
    assert ended.code == 0, ended
    return Settings.resolve(workspace=work, environ=env, cwd=work)


@pytest.fixture(scope="module")
def proof(settings: Settings) -> dict[str, Any]:
    """The proof of the first finding, as a file holds it."""
    (first, *_) = process.perform(requests.Findings(), settings).findings
    found: dict[str, Any] = json.loads(
        json.dumps(process.perform(requests.ProveFinding(finding=first.id), settings), default=to_builtins)
    )
    return found


def verify(settings: Settings, proof: object, key: str | None = None) -> Any:
    key = key or process.perform(requests.PublicKey(), settings).key
    text = proof if isinstance(proof, str) else json.dumps(proof)
    return process.perform(requests.VerifyProof(proof=text, key=key), settings)


def test_a_proof_convinces_whoever_has_the_key_and_nothing_else(
    tmp_path: Path, settings: Settings, env: dict[str, str], nursery: Nursery
) -> None:
    """In another folder, with another home."""
    cwd = settings.workspace
    listed = json.loads(nursery.run("findings", "list", "--json", cwd=cwd, env=env).out)["findings"]
    file = tmp_path / "proof.json"
    ended = nursery.run("findings", "prove", listed[0]["id"][:8], "-o", str(file), cwd=cwd, env=env)
    assert ended.code == 0, ended
    assert "made of the bytes 0 to 683 of " in ended.out
    key = process.perform(requests.PublicKey(), settings).key
    assert f"--key {key}" in ended.err
    elsewhere = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    shown = nursery.run("audit", "verify-proof", str(file), "--key", key, cwd=tmp_path, env=elsewhere)
    assert shown.code == 0, shown
    assert "Git configuration can be read" in shown.out
    assert "a record's text in the file is not proved" in shown.err
    file.write_text(file.read_text().replace("Git configuration", "Something else"))
    refused = nursery.run("audit", "verify-proof", str(file), "--key", key, cwd=tmp_path, env=elsewhere)
    assert (refused.code, refused.out) == (6, "")
    assert not (tmp_path / ".assent").exists()


def test_every_finding_has_its_proof(settings: Settings) -> None:
    for one in process.perform(requests.Findings(), settings).findings:
        proof = process.perform(requests.ProveFinding(finding=one.id), settings)
        shown = verify(settings, json.dumps(proof, default=to_builtins))
        assert shown.finding["id"] == one.id


def test_another_key_is_not_convinced(settings: Settings, proof: dict[str, Any]) -> None:
    own = process.perform(requests.PublicKey(), settings).key
    name, ident, key = own.split("+", 2)
    other = f"{name}+{ident}+{key[:-6]}{'A' if key[-6] != 'A' else 'B'}{key[-5:]}"
    with pytest.raises(AssentError):
        verify(settings, proof, other)


FIELDS: Final = (
    "finding",
    "line",
    "index",
    "size",
    "path",
    "dataset",
    "outcome",
    "salt",
    "entry",
    "proof",
    "began",
    "record",
)


def test_a_proof_has_these_fields(proof: dict[str, Any]) -> None:
    assert proof.keys() == {*FIELDS}


@pytest.mark.parametrize("field", [one for one in FIELDS if one != "record"])
def test_a_proof_that_was_changed_anywhere_proves_nothing(
    settings: Settings, proof: dict[str, Any], field: str
) -> None:
    key = process.perform(requests.PublicKey(), settings).key
    for other in changed_from(proof[field]):
        changed = {**proof, field: other}
        if changed == proof:
            continue
        with noted(f"`{field}` is {other!r}"):
            with pytest.raises(AssentError) as told:
                proven(json.dumps(changed), key)
            assert told.value.code in REFUSED


def test_a_finding_without_provenance_is_of_no_record(settings: Settings, proof: dict[str, Any]) -> None:
    line = json.loads(proof["line"])
    line["finding"]["provenance"] = None
    with pytest.raises(AssentError) as told:
        verify(settings, {**proof, "line": json.dumps(line)})
    assert told.value.code == "PROOF_INVALID"


def test_a_record_stands_where_the_finding_says(settings: Settings, proof: dict[str, Any]) -> None:
    for changed in ({"begin": 1}, {"end": 9}, {"raw_sha256": "0" * 64}):
        with pytest.raises(AssentError, match="PROOF_INVALID"):
            verify(settings, {**proof, "record": {**proof["record"], **changed}})


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "x", '{"finding": 1}'],
)
def test_what_is_no_proof_is_told(settings: Settings, text: str) -> None:
    with pytest.raises(AssentError) as told:
        verify(settings, text)
    assert told.value.code in REFUSED


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "[]"},
        {"outcome": "1"},
        {"line": "[]\n"},
        {"line": '{"finding": []}\n'},
        {"line": '{"finding": null}\n'},
        {"line": '{"finding": {"id": "a", "provenance": 1}}\n'},
        {"line": '{"resource": {}}\n'},
        {"path": ["xx"]},
        {"salt": "\u00e9"},
    ],
    ids=str,
)
def test_a_proof_of_other_shapes_is_refused_and_no_fault_of_ours(
    settings: Settings, proof: dict[str, Any], change: dict[str, Any]
) -> None:
    with pytest.raises(AssentError) as told:
        verify(settings, {**proof, **change})
    assert told.value.code in REFUSED
