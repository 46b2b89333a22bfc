"""A finding's proof shows what an import or a scan made, and nothing that anybody else put on record; told as one of its errors.

What is changed in a proof is tried in `tests/cli/findings/test_proof.py`.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import convert, to_builtins

from assent.capabilities.findings import BOOK
from assent.capabilities.findings.area import ACTS
from assent.capabilities.knowledge import area as knowledge
from assent.errors import InputError, WorldError
from assent.findings import Finding
from assent.findings.book import _file
from assent.journal import leaf_hash
from assent.runtime._ledger import reading
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.service import answers, process, requests
from assent.runtime.service.findings import _proofs
from assent.runtime.service.findings._proofs import proven
from tests.support.bodies import Bench, Place, erased, policy, put, put_spec, rule, workflow
from tests.support.books import katana, nuclei
from tests.support.crashing import noted
from tests.support.proofs import Entry, entry_of, key_of, respelled
from tests.support.seeds import examples

MADE_UP: Final = "00000000-0000-8000-8000-00000000000a"


def place_at(folder: Path) -> Place:
    folder.mkdir(exist_ok=True)
    return Place(folder, policy=policy(rule("all", without_approval=True)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path)


def file_of(place: Place, data: bytes | None = None) -> dict[str, str]:
    """What to import: a file of the workspace, with one finding."""
    data = nuclei([("git-config", "high", "shop.example")]) if data is None else data
    place.settings()
    (place.workspace / "scan.jsonl").write_bytes(data)
    return {"project": "shop", "path": "scan.jsonl"}


async def imported(runtime: Bench, place: Place) -> str:
    result = await runtime.call("findings.import", file_of(place))
    assert result.status == "succeeded", result
    return result.run_id


def listed(place: Place) -> list[str]:
    return [one.id for one in process.perform(requests.Findings(), place.settings()).findings]


def proof_of(place: Place, finding: str) -> dict[str, Any]:
    found = process.perform(requests.ProveFinding(finding=finding), place.settings())
    told: dict[str, Any] = to_builtins(found)
    return told


CHANGES: Final = {
    "another severity": "UPDATE seen SET body = CAST(replace(CAST(body AS TEXT), '\"high\"', '\"info\"') AS BLOB)",
    "another title": "UPDATE seen SET body = CAST(replace(CAST(body AS TEXT), 'The matter', 'No matter') AS BLOB)",
    "another id": f"UPDATE seen SET body = CAST(replace(CAST(body AS TEXT), substr(CAST(body AS TEXT),"
    f" instr(CAST(body AS TEXT), '\"id\":\"') + 6, 36), '{MADE_UP}') AS BLOB)",
    "an entry that is not there": "UPDATE seen SET dataset = 99999",
    "an entry of another kind": "UPDATE seen SET dataset = 0",
    "an outcome of another call": "UPDATE seen SET dataset = (SELECT max(dataset) FROM seen) - {back}",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_no_finding_is_proved_that_is_shown_otherwise(place: Place, change: str) -> None:
    """Whoever writes to the state can change what is shown, and not what is proved; dropping the file mends it."""
    async with place.open(box=False) as runtime:
        other = await runtime.call("io.fs.exists", {"path": "x"})
        await imported(runtime, place)
    (finding,) = listed(place)
    before = proof_of(place, finding)
    path = place.settings().state / BOOK
    back = before["entry"] - entry_of(place, other.run_id, "call").done
    file = apsw.Connection(str(path))
    file.execute(CHANGES[change].replace("{back}", str(back)))
    file.close()
    with pytest.raises(WorldError, match="FINDINGS_STORE_DIFFERS"):
        proof_of(place, finding)
    for one in path.parent.glob(f"{BOOK}*"):
        one.unlink()
    assert proof_of(place, finding) == before


async def test_a_finding_is_proved_by_its_own_record_and_by_none_that_names_it(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place)
        (finding,) = listed(place)
        both = [(f"about-{finding}", "low", "shop.example"), ("git-config", "high", "shop.example")]
        result = await runtime.call("findings.import", file_of(place, nuclei(both)))
        assert result.status == "succeeded"
    assert proof_of(place, finding)["index"] == 1


async def test_records_of_one_matter_are_proved_by_the_first_and_shown_together(place: Place) -> None:
    data = nuclei([("git-config", "low", "shop.example"), ("git-config", "high", "shop.example")])
    async with place.open(box=False) as runtime:
        await runtime.call("findings.import", file_of(place, data))
    (finding,) = listed(place)
    assert proof_of(place, finding)["index"] == 0


def made_up() -> tuple[bytes, dict[str, Any]]:
    """The line of a finding that no tool reported, and the outcome of an import that would have brought it."""
    line = json.dumps({"finding": {"id": MADE_UP, "title": "the shop is safe"}}).encode() + b"\n"
    return line, {"dataset": leaf_hash(line).hex(), "findings": 1, "resources": 0}


async def forged(place: Place) -> tuple[dict[str, Any], dict[str, Entry], str]:
    """A proof of a finding that was made up: every part of it fits, and a capability of somebody's own said its outcome.

    The entries are of one run: of the import's step, and of that one's.
    """
    line, outcome = made_up()
    place.box.outputs["loot"] = outcome
    importing = {"name": "brought", "capability": "findings.import", "inputs": file_of(place)}
    async with place.open() as runtime:
        result = await runtime.run(workflow(importing, put("loot")))
        assert result.status == "succeeded", result
    entries = {step: entry_of(place, result.run_id, step) for step in ("brought", "loot")}
    said = entries["loot"]
    assert json.loads(said.body) == outcome

    def proof(seq: int) -> str:
        return process.perform(requests.Prove(seq=seq), place.settings()).proof

    told = answers.FindingProof(
        finding=MADE_UP,
        line=line.decode(),
        index=0,
        size=1,
        path=[],
        dataset=outcome["dataset"],
        outcome=said.body,
        salt=said.salt,
        entry=said.done,
        proof=proof(said.done),
        began=proof(said.began),
        record=None,
    )
    return to_builtins(told), entries, proof(entries["brought"].began)


async def test_an_outcome_that_only_looks_like_an_imports_proves_nothing(place: Place) -> None:
    """Not with the entry of its own step, nor with that of the import before it in the same run, nor with its own twice."""
    told, _, of_import = await forged(place)
    for began in (told["began"], of_import, told["proof"]):
        with pytest.raises(InputError, match="not those of an import or a scan that succeeded") as refused:
            proven(json.dumps({**told, "began": began}), key_of(place))
        assert refused.value.code == "PROOF_INVALID"


async def test_what_an_import_was_asked_for_is_not_what_it_made(place: Place) -> None:
    """An entry by which a step began proves no outcome."""
    told, entries, of_import = await forged(place)
    changed = {**told, "proof": of_import, "began": of_import, "entry": entries["brought"].began}
    with pytest.raises(InputError, match="not those of an import"):
        proven(json.dumps(changed), key_of(place))


async def test_an_import_of_another_run_vouches_for_nothing(place: Place) -> None:
    told, _, _ = await forged(place)
    async with place.open() as runtime:
        run = await imported(runtime, place)
    began = entry_of(place, run, "call").began
    other = process.perform(requests.Prove(seq=began), place.settings()).proof
    with pytest.raises(InputError, match="not those of an import"):
        proven(json.dumps({**told, "began": other}), key_of(place))


@pytest.mark.parametrize("capability", sorted(ACTS | knowledge.ACTS))
async def test_nobody_else_makes_a_version_of_what_is_proved_by_its_outcome(
    place: Place, capability: str
) -> None:
    """Its outcome would be whatever it says, and pass for that of an import, or of an index run."""
    async with place.open() as runtime:
        with pytest.raises(InputError, match="comes with Assent") as refused:
            runtime.register(put_spec(capability, version="9.0.0"), place.box.handler())
        assert refused.value.code == "CAPABILITY_DUPLICATE"


async def test_what_was_taken_back_or_erased_is_proved_no_more(place: Place) -> None:
    """A proof that was made before shows what it always showed: that it was recorded."""
    async with place.open(box=False) as runtime:
        run = await imported(runtime, place)
    (one,) = listed(place)
    proof = proof_of(place, one)
    async with place.open(box=False) as runtime:
        await runtime.undo(run)
    with pytest.raises(InputError, match="there is no finding"):
        proof_of(place, one)
    async with place.open(box=False) as runtime:
        run = await imported(runtime, place)
    assert proof_of(place, one)["entry"] != proof["entry"]
    async with place.open(box=False) as runtime:
        await erased(runtime, run)
    with pytest.raises(InputError, match="there is no finding"):
        proof_of(place, one)
    _, finding = proven(json.dumps(proof), key_of(place))
    assert finding["id"] == one


async def test_what_somebody_reads_is_erased_once_they_have_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that erases is told so within seconds, and goes on when it is resumed: nothing stands in the store then."""
    monkeypatch.setattr(_file, "EMPTY_S_MAX", 0)
    async with place.open(box=False) as runtime:
        run = await imported(runtime, place)
        (one,) = listed(place)
        with FindingsStore(runtime.settings).looking():
            asked = await runtime.erase([run])
            if asked.status == "waiting":
                asked = await runtime.approve(asked.run_id, principal="user:somebody-else")
            assert (asked.error or {})["code"] == "ERASE_UNFINISHED"
        assert [one.status for one in await runtime.resume(asked.run_id)] == ["succeeded"]
        files = [*runtime.settings.state.glob("findings.db*")]
    assert files
    assert not any(bytes.fromhex(one.replace("-", "")) in file.read_bytes() for file in files)


async def test_what_is_erased_while_it_is_proved_is_told_as_that(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has it, and the ledger has it no more."""
    async with place.open(box=False) as runtime:
        run = await imported(runtime, place)
    (one,) = listed(place)
    async with place.open(box=False) as runtime:
        await erased(runtime, run)
    monkeypatch.setattr("assent.capabilities.findings.follow", lambda *_: -1)  # nobody has folded it anew
    with pytest.raises(InputError) as refused:
        proof_of(place, one)
    assert refused.value.code == "FINDING_UNKNOWN"


async def test_the_newest_dataset_that_spoke_of_a_finding_proves_it(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place)
        last = await imported(runtime, place)
    (one,) = listed(place)
    assert proof_of(place, one)["entry"] == entry_of(place, last, "call").done


async def test_a_dataset_of_findings_and_resources_proves_its_findings(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place)
        asked = file_of(place, katana(["https://shop.example/"]))
        assert (await runtime.call("findings.import", asked)).status == "succeeded"
    (one,) = listed(place)
    _, finding = proven(json.dumps(proof_of(place, one)), key_of(place))
    assert finding["id"] == one


async def test_a_store_that_says_another_entry_than_the_ledger_proves_nothing(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place)
        other = await runtime.call("findings.import", file_of(place, katana(["https://shop.example/"])))
    (one,) = listed(place)
    with closing(apsw.Connection(str(place.settings().state / BOOK))) as store:
        store.execute("UPDATE seen SET dataset = ?", (entry_of(place, other.run_id, "call").done,))
    with pytest.raises(WorldError, match="FINDINGS_STORE_DIFFERS"):
        proof_of(place, one)


async def test_a_record_is_shown_as_far_as_it_is_known_and_short(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open(box=False) as runtime:
        await imported(runtime, place)
    (one,) = listed(place)
    shown = proof_of(place, one)
    assert json.loads(shown["record"]["text"])["template-id"] == "git-config"
    monkeypatch.setattr(_proofs, "SHOWN_BYTES_MAX", 1)
    long = proof_of(place, one)
    shown_finding = json.loads(long["line"])["finding"]
    assert long["record"] == {**shown["record"], "text": None}
    proven(json.dumps(long), key_of(place))
    with reading(place.settings().state) as journal:
        assert journal is not None
        finding = convert({**shown_finding, "provenance": {"tool": "nuclei"}}, Finding)
        assert _proofs._record(journal, "", finding) is None


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
WITHIN: Final = ("finding", "id", "provenance", "begin", "raw_sha256", "dataset", "findings", "resources")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A proof that holds, and the key that it is checked with."""
    import asyncio

    place = place_at(tmp_path_factory.mktemp("shown"))

    async def make() -> None:
        async with place.open(box=False) as runtime:
            await imported(runtime, place)

    asyncio.run(make())
    (one,) = listed(place)
    return proof_of(place, one), key_of(place)


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, str | None, Any]:
    """A field of a proof, or one within its line or its outcome, and what comes in its place."""
    field = draw(st.sampled_from(["line", "outcome", *answers.FindingProof.__struct_fields__]))
    within = draw(st.sampled_from(WITHIN)) if field in ("line", "outcome") and draw(st.booleans()) else None
    return field, within, draw(JSON)


def replaced(value: Any, name: str, other: Any) -> Any:
    """The same JSON with other values under a name, wherever it stands."""
    if not isinstance(value, dict):
        return value
    return {key: other if key == name else replaced(one, name, other) for key, one in value.items()}


@given(change=changes())
@example(change=("line", "provenance", None))
@example(change=("line", "finding", None))
@example(change=("line", None, '{"finding": {"id": "a", "x": ' + "[" * 10_000))
@example(change=("outcome", "resources", -1))
@example(change=("proof", None, "\ud800"))
@example(change=("line", None, "\ud800"))
@example(change=("index", None, 2**70))
@settings(max_examples=examples(2_000))
def test_whatever_a_proof_is_it_holds_or_is_refused_as_one(
    shown: tuple[dict[str, Any], str], change: tuple[str, str | None, Any]
) -> None:
    proof, key = shown
    field, within, other = change
    new = other if within is None else json.dumps(replaced(json.loads(proof[field]), within, other))
    try:
        proven(json.dumps({**proof, field: new}), key)
    except InputError:
        return
    # What is shown for people alone may be left out, or be another text.
    assert new == proof[field] or field == "record"


def test_a_proof_has_one_spelling_and_nothing_that_nobody_looks_at(shown: tuple[dict[str, Any], str]) -> None:
    """Of a name that stands twice one value would be checked, and another one read by somebody else."""
    proof, key = shown
    proven(json.dumps(proof), key)
    for text in respelled(proof):
        with noted(text[:200]), pytest.raises(InputError) as told:
            proven(text, key)
        assert told.value.code == "PROOF_MALFORMED"
        assert len(told.value.message) < 1_000
