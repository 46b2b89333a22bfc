"""What is registered goes on the record once, and what the record keeps of a version that is gone holds those that follow."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from assent import __version__, capability
from assent.capabilities import builtin_catalog
from assent.errors import InputError, Json
from assent.invocation import Transformer
from assent.journal import SqliteJournal, at_once, leaves_at_once, rows_at_once
from assent.runtime.capabilities._capability_record import gone_specs
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.events import kinds as ev
from tests.support.bodies import Bench, Place

ID = "mail.send"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace, a state directory and a box of values."""
    return Place(tmp_path)


def spec(version: str, *fields: str, **more: Any) -> CapabilitySpec:
    """A version whose callers must give these fields."""
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in fields},
        "required": [*fields],
        "additionalProperties": False,
    }
    return create_read_capability(ID, version=version, parameters=schema, returns={}, **more)


ONE = spec("1.0.0", "text")


def echo(_context: object, parameters: object) -> object:
    return parameters


def journal_of(rt: Bench) -> SqliteJournal:
    journal = rt._core.ready.journal
    assert isinstance(journal, SqliteJournal)
    return journal


async def recorded(place: Place, *specs: CapabilitySpec) -> None:
    """A ledger that knows these versions, of which none is installed any more."""
    async with place.open(box=False) as rt:
        for one in specs:
            rt.register(one, echo)
        await rt.versions.record()


def refused(rt: Bench, one: CapabilitySpec) -> InputError:
    with pytest.raises(InputError) as caught:
        rt.register(one, echo)
    return caught.value


async def test_what_comes_with_assent_is_one_entry(place: Place) -> None:
    """With the release, and each version with its fingerprint, as what it is called by; the rows are those of single entries."""
    async with place.open(box=False) as rt:
        count = await rt.versions.record()
        (_, leaf) = leaves_at_once(journal_of(rt))
        event = leaf.event
        assert isinstance(event, ev.ReleaseRegistered)
        assert event.release == __version__
        specs = [one for one, _ in builtin_catalog()]
        assert dict(zip(event.versions, event.fingerprints, strict=True)) == {
            one.reference: one.fingerprint for one in specs
        }
        assert count == len(specs) == rt.registry.revision
        rows = list(rows_at_once(journal_of(rt), "capabilities"))
        assert sorted(int(str(row["registered"])) for row in rows) == [*range(count)]
        assert {row["registered_at_ms"] for row in rows} == {leaf.at_ms}
        assert list(rows_at_once(journal_of(rt), "capability_specs")) == []


async def test_spec_of_what_others_wrote_is_kept_beside_the_entry(place: Place) -> None:
    async with place.open(box=False) as rt:
        rt.register(ONE, echo)
        await rt.versions.record()
        (event,) = [
            leaf.event
            for leaf in leaves_at_once(journal_of(rt))
            if isinstance(leaf.event, ev.CapabilityRegistered)
        ]
        assert event.spec is not None
        body = at_once(journal_of(rt).payload(event.spec))
        assert body is not None
        assert CapabilitySpec.from_json(msgspec.json.decode(body)) == ONE
        (row,) = list(rows_at_once(journal_of(rt), "capability_specs"))
        assert row == {"capability": ID, "version": "1.0.0", "spec": event.spec}


@pytest.mark.parametrize(
    ("one", "is_refused"),
    [
        (spec("1.1.0", "text", "more"), True),
        (spec("1.1.0"), True),
        (spec("1.1.0", "text"), False),
        (spec("2.0.0", "text", "more"), False),
        (spec("1.1.0-rc.1", "text", "more"), False),
        (spec("0.9.0", "text", "more"), False),
    ],
    ids=lambda value: value.version if isinstance(value, CapabilitySpec) else "",
)
async def test_what_breaks_the_version_that_it_replaces_is_refused(
    place: Place, one: CapabilitySpec, *, is_refused: bool
) -> None:
    """Under the same major number; a pre-release may break, and so may what is older."""
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        if is_refused:
            error = refused(rt, one)
            assert error.code == "VERSION_BREAKING"
            assert str(error.hint).endswith(f"assent capability retire {ID}@1.0.0")
            assert error.details["changes"]
        else:
            rt.register(one, echo)


async def test_of_several_that_are_gone_the_nearest_counts(place: Place) -> None:
    await recorded(place, ONE, spec("2.0.0", "text", "more"))
    async with place.open(box=False) as rt:
        assert "`2.0.0`" in refused(rt, spec("2.1.0", "text")).message
        assert "`1.0.0`" in refused(rt, spec("1.1.0", "other")).message


async def test_a_version_that_was_accepted_once_comes_back(place: Place) -> None:
    """Whatever came in between: it is on the record."""
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        rt.register(spec("1.1.0", "text"), echo)
        await rt.versions.record()
    async with place.open(box=False) as rt:
        rt.register(ONE, echo)
        assert (await rt.call(ID, {"text": "x"})).steps[0].version == "1.0.0"


async def test_what_is_unloaded_is_gone_at_once(place: Place) -> None:
    """As after a restart; and it is there again when it is registered again."""
    async with place.open(box=False) as rt:
        rt.register(ONE, echo)
        await rt.versions.record()
        rt._core.capabilities.unregister([ONE.reference])
        assert refused(rt, spec("1.1.0", "other")).code == "VERSION_BREAKING"
        rt.register(spec("1.1.0", "text"), echo)
        result = await rt.call(f"{ID}@1.0.0", {"text": "x"})
        assert (result.steps[0].version, result.steps[0].output) == ("1.1.0", {"text": "x"})
        rt.register(ONE, echo)
        assert (await rt.call(f"{ID}@1.0.0", {"text": "x"})).steps[0].version == "1.0.0"


async def test_what_was_never_recorded_holds_nobody(place: Place) -> None:
    async with place.open(box=False) as rt:
        rt.register(ONE, echo)
        rt._core.capabilities.unregister([ONE.reference])
        rt.register(spec("1.1.0", "other"), echo)


async def test_retired_version_holds_nobody(place: Place) -> None:
    """Also when nothing of the capability is installed; and once only."""
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        await rt.versions.retire(ONE.reference)
        with pytest.raises(InputError) as again:
            await rt.versions.retire(ONE.reference)
        assert again.value.code == "VERSION_NOT_FOUND"
        with pytest.raises(InputError) as unknown:
            await rt.versions.retire("mail.read@1.0.0")
        assert unknown.value.code == "CAPABILITY_UNKNOWN"
        rt.register(spec("1.1.0", "other"), echo)
    async with place.open(box=False) as rt:
        rt.register(spec("1.1.0", "other"), echo)
        with pytest.raises(InputError) as retired:
            await rt.call(ONE.reference, {"text": "x"})
        assert "was retired" in retired.value.message


async def test_no_reference_means_what_is_gone(place: Place) -> None:
    """Nor does a label or a moment lead elsewhere; what is older and installed is the latest."""
    async with place.open(box=False) as rt:
        rt.register(ONE, echo)
        rt.register(spec("1.1.0", "text"), echo)
        await rt.versions.label(f"{ID}@1.1.0", "stable")
    async with place.open(box=False) as rt:
        rt.register(ONE, echo)
        assert [one.version for one in rt.registry.list() if one.id == ID] == ["1.0.0"]
        for reference in (ID, f"{ID}@^1", f"{ID}@*"):
            assert rt.registry.resolve(reference) == ONE
        with pytest.raises(InputError) as label:
            await rt.call(f"{ID}@stable", {"text": "x"})
        assert "`mail.send@1.1.0`, which `stable` means, is not installed here" in label.value.message
        told = rt.versions.diff_told(ID, "1.1.0", "1.0.0")
        assert (told["breaking"], told["served"]) == (0, True)


async def test_callers_of_what_nobody_can_serve_are_told_why(place: Place) -> None:
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        rt.register(spec("2.0.0", "text", "more"), echo)
        with pytest.raises(InputError) as caught:
            await rt.call(ONE.reference, {"text": "x"})
        assert caught.value.code == "VERSION_NOT_FOUND"
        assert "is not installed here any more" in caught.value.message
        assert "nothing brings inputs from `1.0.0` to `2.0.0`" in str(caught.value.details["why"])
        assert rt.versions.diff_told(ID, "1.0.0", "2.0.0")["served"] is False


async def test_replaced_spec_is_the_one_that_counts(place: Place) -> None:
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        rt.register(spec("1.0.0", "other"), echo, replace=True)
        await rt.versions.record()
    async with place.open(box=False) as rt:
        assert refused(rt, spec("1.1.0", "text")).code == "VERSION_BREAKING"
        rt.register(spec("1.1.0", "other"), echo)


async def test_a_module_is_registered_whole_or_not_at_all(place: Place) -> None:
    module = ModuleType("letters")
    for name in ("first", "second"):

        def look() -> int:
            return 1

        look.__module__ = "letters"
        described = capability(f"letters.{name}", operation="READ", risk="LOW", description="Look.")(look)
        setattr(module, name, described)
    second = create_read_capability("letters.second", parameters={}, returns={})
    async with place.open(box=False) as rt:
        rt.register(second, echo)
        with pytest.raises(InputError) as caught:
            rt.register(module)
        assert caught.value.code == "CAPABILITY_DUPLICATE"
        assert rt.registry.get("letters.first") is None
        rt.register(module.first)


@pytest.mark.parametrize(
    ("said", "version", "code"),
    [({"replace": True}, "1.0.0", "VERSION_CHANGED"), ({"breaking": True}, "1.1.0", "VERSION_BREAKING")],
)
async def test_what_is_said_of_a_version_that_is_refused_is_said_of_no_other(
    place: Place, said: Any, version: str, code: str
) -> None:
    """It was meant for what did not come in."""
    await recorded(place, ONE)
    other = spec(version, "other")
    async with place.open(box=False) as rt:
        with pytest.raises(InputError) as caught:
            rt.register(other, echo, transformers=[Transformer(older="0.1.0", newer="0.2.0")], **said)
        assert caught.value.code == "TRANSFORMER_INVALID"
        assert refused(rt, other).code == code


class Kept:
    """A journal that keeps one row and one payload."""

    def __init__(self, body: bytes | None) -> None:
        self.body = body

    async def rows(self, table: str, where: object, *, limit: int) -> list[dict[str, str]]:
        assert table == "capability_specs"
        return [{"spec": "0" * 64}]

    async def payload(self, commitment: str) -> bytes | None:
        return self.body


@pytest.mark.parametrize("body", [None, msgspec.json.encode({**ONE.to_json(), "weather": "fine"})])
async def test_spec_that_is_not_there_or_from_later_is_none(place: Place, body: bytes | None) -> None:
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        missing = [*rt.registry.missing()]
        assert [fact.version for fact in missing] == ["1.0.0"]
        assert [spec async for spec in gone_specs(Kept(body), missing)] == []  # type: ignore[arg-type]  # two methods of a journal


async def test_spec_of_another_fingerprint_is_not_taken(place: Place) -> None:
    """The record says what a version is by its fingerprint; a spec beside it is only as good as that."""
    await recorded(place, ONE)
    async with place.open(box=False) as rt:
        assert rt.registry.gone(ID) == {"1.0.0": ONE}
        rt.registry.forget_record()
        assert rt.registry.gone(ID) == {}
        await rt._core.capabilities.load(journal_of(rt), now_ms=0)
        rt.registry.remember_spec(spec("1.0.0", "another"))
        rt.registry.remember_spec(spec("3.0.0", "unheard of"))
        assert rt.registry.gone(ID) == {"1.0.0": ONE}
        assert rt.registry.gone("mail.read") == {}
