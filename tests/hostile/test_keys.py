"""Keys that nobody was given: whatever stands in a file or a header, nobody comes in by it, and no answer tells why."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from assent.errors import RefusedError
from assent.server.who import Gatehouse, Presented
from tests.support.bodies import code
from tests.support.who import bearer, made, place_with

HEADERS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "nothing": lambda _: (),
    "an empty one": lambda _: ("",),
    "no credential": lambda _: ("Bearer",),
    "an empty credential": lambda _: ("Bearer ",),
    "another scheme": lambda key: (f"Basic {key}",),
    "two headers": lambda key: (f"Bearer {key}", f"Bearer {key}"),
    "two credentials": lambda key: (f"Bearer {key} {key}",),
    "two spaces": lambda key: (f"Bearer  {key}",),
    "a line break": lambda key: (f"Bearer {key}\n",),
    "a NUL": lambda key: (f"Bearer {key}\0",),
    "other digits": lambda key: (f"Bearer {key}\uff11",),
    "a lone surrogate": lambda key: (f"Bearer {key}\ud800",),
    "upper case": lambda key: (f"Bearer {key.upper()}",),
    "its id alone": lambda key: (f"Bearer {key.rpartition('_')[0]}",),
    "a cut": lambda key: (f"Bearer {key[:-1]}",),
    "a letter more": lambda key: (f"Bearer {key}a",),
    "another last letter": lambda key: (f"Bearer {key[:-1]}{'b' if key[-1] == 'a' else 'a'}",),
    "another secret": lambda key: (f"Bearer {key.rpartition('_')[0]}_{'a' * 52}",),
    "another id": lambda key: (f"Bearer ak_{'a' * 16}_{key.rpartition('_')[2]}",),
    "a path": lambda key: (f"Bearer ak_../../../etc/passwd_{key.rpartition('_')[2]}",),
    "a mebibyte": lambda _: (f"Bearer {'a' * (1 << 20)}",),
}


async def test_no_header_but_the_key_s_own_opens_and_every_refusal_is_the_same(tmp_path: Path) -> None:
    async with place_with(tmp_path).open() as rt:
        key, _ = await made(rt)
        gate = Gatehouse(rt.settings)
        assert (await gate.authenticate(bearer(key.text))).identified_by == f"api_key:{key.id}"
        told = set()
        for name, header in HEADERS.items():
            presented = Presented(door="http", peer="203.0.113.7", authorization=header(key.text))
            with pytest.raises(RefusedError) as refused:
                await gate.authenticate(presented)
            told.add(repr(refused.value.to_dict()))
            assert refused.value.__cause__ is None, name
    assert len(told) == 1


def _other_mode(path: Path) -> None:
    path.chmod(0o644)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".kept"))
    path.symlink_to(path.with_suffix(".kept"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _another_key_s(path: Path) -> None:
    path.write_text(path.read_text().replace(path.stem, f"ak_{'b' * 16}"))


def _linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


PLANTED = [
    _other_mode,
    _link,
    _pipe,
    _another_key_s,
    _linked_folder,
    lambda path: path.write_text(""),
    lambda path: path.write_text("{}"),
    lambda path: path.write_bytes(b"\xff" * 10),
    lambda path: path.write_text("[" * 60_000),
]


@pytest.mark.parametrize("plant", PLANTED)
async def test_a_file_that_is_not_as_it_was_written_opens_nothing(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    place = place_with(tmp_path)
    async with place.open() as rt:
        key, _ = await made(rt)
    plant(tmp_path / "state" / "keys" / f"{key.id}.json")
    with pytest.raises(RefusedError) as refused:
        await Gatehouse(place.settings()).authenticate(bearer(key.text))
    assert refused.value.code == "NOT_IDENTIFIED"


async def test_as_much_is_done_for_an_id_that_nobody_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clock is asked: one comparison of whole digests in constant time, whichever part of a key is wrong."""
    compared: list[tuple[int, int]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    async with place_with(tmp_path).open() as rt:
        key, _ = await made(rt)
        gate = Gatehouse(rt.settings)
        wrong = [
            HEADERS["another last letter"](key.text)[0][7:],
            f"{key.id}_{'a' * 52}",
            f"ak_{'a' * 16}_{'a' * 52}",
            "x",
            "a.b.c",
        ]
        monkeypatch.setattr(hmac, "compare_digest", compare)
        for text in wrong:
            with pytest.raises(RefusedError):
                await gate.authenticate(bearer(text))
    assert compared == [(64, 64)] * len(wrong)


async def test_no_capability_reads_or_writes_a_key(tmp_path: Path) -> None:
    place = place_with(tmp_path, '[workspace]\nstate = "state"\n')
    place.root = tmp_path
    async with place.open() as rt:
        key, _ = await made(rt)
        (tmp_path / "work" / "way").symlink_to(tmp_path / "state")
        for path in (f"../state/keys/{key.id}.json", f"way/keys/{key.id}.json"):
            for call, parameters in {
                "io.fs.read_file": {"path": path},
                "io.fs.write_file": {"path": path, "content": "{}"},
            }.items():
                result = await rt.call(call, parameters)
                assert code(result) in (
                    "PATH_PROTECTED",
                    "PATH_OUTSIDE_WORKSPACE",
                    "PATH_ESCAPES",
                    "LINK_REFUSED",
                ), path
