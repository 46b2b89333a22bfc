"""What would come out without end is stopped at the first limit, while it comes out."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from io import BytesIO

import pytest
from backports import zstd

from assent.capabilities.archive._limits import Limits, Meter
from assent.capabilities.archive._streams import gunzipped, unzstd
from assent.invocation import CancelToken, NoEffectError
from tests.support.archives import ZipEntry, zip_of
from tests.support.hands import Hands
from tests.support.hostile_bombs import BOMBS, Bomb
from tests.support.unpacking import refusal, refused, unpacked


@pytest.mark.parametrize("bombs", BOMBS, ids=lambda bombs: bombs.__name__)
def test_a_bomb_is_stopped_where_it_passes_a_limit(hands: Hands, bombs: Callable[[], Iterator[Bomb]]) -> None:
    """Whatever it repeats and declares, in every format; a preview stops too, and nothing stays."""
    stood = hands.tree().keys()
    number = 0
    for number, bomb in enumerate(bombs(), start=1):
        if number == 1:
            found = refused(hands, bomb.name, bomb.data, **bomb.limits)
        else:
            (hands.root / bomb.name).write_bytes(bomb.data)
            found = refusal(hands, bomb.name, **bomb.limits)
        assert found.code == bomb.code, (number, bomb.name, found)
        assert bomb.path in (None, found.path), (number, bomb.name, found)
        (hands.root / bomb.name).unlink()
    assert hands.tree().keys() == stood
    assert number == BOMBS[bombs]


def test_there_are_hundreds_of_bombs() -> None:
    assert sum(BOMBS.values()) > 250


def test_bombs_in_bombs_stay_packed(hands: Hands) -> None:
    """42.zip holds archives that hold archives: one call unpacks one layer, and each layer is counted."""
    layer = zip_of(ZipEntry(name=b"0.dll", data=bytes(8 << 20)))
    for _ in range(3):
        layer = zip_of(*(ZipEntry(name=b"lib %d.zip" % number, data=layer) for number in range(4)))
    assert len(layer) < 1 << 20
    assert unpacked(hands, "42.zip", layer) == {f"lib {number}.zip" for number in range(4)}


def test_a_quine_is_one_layer_like_any_other(hands: Hands) -> None:
    """An archive in itself would unpack for ever; nobody unpacks what comes out."""
    inner = zip_of(ZipEntry(name=b"r.zip", data=b"PK"))
    assert unpacked(hands, "x.zip", inner) == {"r.zip"}


def test_a_directory_of_records_is_counted_while_it_is_read(hands: Hands) -> None:
    """Each record is kept until all are there: a file of nothing but records would fill memory before an entry is met."""
    entries = [ZipEntry(name=b"%d" % number, data=b"") for number in range(10)]
    (hands.root / "ten.zip").write_bytes(zip_of(*entries))
    assert (
        hands.do("sys.archive.unpack", source="ten.zip", destination="ten", entries_max=10).execute()["files"]
        == 10
    )
    # The last record is damaged, and is not come to.
    data = zip_of(*entries, ZipEntry(name=b"x" * 90, data=b"")).replace(b"PK\1\2", b"PK\1\3")
    data = data.replace(b"PK\1\3", b"PK\1\2", 10)
    (hands.root / "many.zip").write_bytes(data)
    assert refusal(hands, "many.zip", entries_max=10).code == "ARCHIVE_QUOTA"
    assert refusal(hands, "many.zip", entries_max=11).code == "ARCHIVE_INVALID"


def test_a_record_with_a_name_of_no_file_is_refused_while_the_directory_is_read(hands: Hands) -> None:
    whole = zip_of(ZipEntry(name=b"x" * 5000, data=b""), ZipEntry(name=b"y", data=b""))
    broken = whole.replace(b"PK\1\2", b"PK\1\3").replace(b"PK\1\3", b"PK\1\2", 1)
    (hands.root / "long.zip").write_bytes(broken)
    assert refusal(hands, "long.zip").code == "ARCHIVE_NAME_REFUSED"


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("zst", zstd.compress)])
def test_members_without_content_are_given_up_when_nobody_waits(
    ending: str, pack: Callable[[bytes], bytes]
) -> None:
    """Millions of them take hours, and of what never comes out nothing is counted."""
    meter = Meter(Limits(), CancelToken())
    unpack = gunzipped if ending == "gz" else unzstd
    assert b"".join(unpack(BytesIO(pack(b"") * 2000), meter)) == b""
    token = CancelToken()
    token.cancel()
    with pytest.raises(NoEffectError) as caught:
        b"".join(unpack(BytesIO(pack(b"") * 2000), Meter(Limits(), token)))
    assert caught.value.code == "CALL_CANCELLED"
