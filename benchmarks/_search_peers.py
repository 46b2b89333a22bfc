"""What others take for the same questions: tantivy and ripgrep for words, sqlite-vec in SQLCipher and LanceDB for vectors.

One that is not installed is left out by name; `make bench` has all but ripgrep, which is a program.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlcipher3 import dbapi2

Ask = Callable[[int], object]
Texts = Sequence[tuple[str, str, bytes]]
"""Path, symbol and text of each."""


def by_words(folder: Path, texts: Texts, questions: Sequence[str], limit: int) -> Iterator[tuple[str, Ask]]:
    """Each peer's name, and how its best places for a question are had."""
    asked = [re.findall(r"\w+", one) for one in questions]
    if find_spec("tantivy") is None:
        _left_out("tantivy")
    else:
        yield "tantivy, any of the words", _tantivy(folder / "tantivy", texts, asked, limit)
    if shutil.which("rg") is None:
        _left_out("ripgrep")
    else:
        yield "ripgrep, any of the words", _ripgrep(folder / "files", texts, asked)


def by_meaning(
    folder: Path, every: NDArray[np.float32], asked: Sequence[NDArray[np.float32]], limit: int
) -> Iterator[tuple[str, Ask]]:
    """The same for vectors, of which each peer compares all: neither is given an index that it would have to be trained for."""
    if find_spec("sqlite_vec") is None:
        _left_out("sqlite-vec")
    else:
        yield "sqlite-vec in SQLCipher", _sqlite_vec(folder / "vectors.db", every, asked, limit)
    if find_spec("lancedb") is None:
        _left_out("lancedb")
    else:
        yield "lancedb, not encrypted", _lancedb(folder / "lance", every, asked, limit)


def _left_out(name: str) -> None:
    print(f"\n{name} is not installed here, and left out")


def _tantivy(folder: Path, texts: Texts, asked: Sequence[Sequence[str]], limit: int) -> Ask:
    import tantivy  # where it is installed

    folder.mkdir()
    builder = tantivy.SchemaBuilder()
    for name in ("path", "symbol", "body"):
        builder.add_text_field(name)
    index = tantivy.Index(builder.build(), path=str(folder))
    writer = index.writer(num_threads=1)
    for path, symbol, text in texts:
        writer.add_document(tantivy.Document(path=path, symbol=symbol, body=text.decode()))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    return lambda at: searcher.search(
        index.parse_query(" ".join(asked[at]), ["path", "symbol", "body"]), limit
    )


def _ripgrep(folder: Path, texts: Texts, asked: Sequence[Sequence[str]]) -> Ask:
    """It reads all files for each question, and ranks nothing."""
    folder.mkdir()
    for number, (_, _, text) in enumerate(texts):
        (folder / str(number)).write_bytes(text)
    return lambda at: subprocess.run(
        ["rg", "--threads=1", "--count", "--word-regexp", "|".join(asked[at]), str(folder)],
        stdout=subprocess.DEVNULL,
        check=False,
    )


def _sqlite_vec(
    path: Path, every: NDArray[np.float32], asked: Sequence[NDArray[np.float32]], limit: int
) -> Ask:
    import sqlite_vec  # where it is installed

    connection: Any = dbapi2.connect(str(path))
    connection.execute(f"PRAGMA key = \"x'{'5a' * 32}'\"")
    connection.enable_load_extension(True)
    sqlite_vec.load(connection)
    connection.execute(f"CREATE VIRTUAL TABLE near USING vec0(vector float[{every.shape[1]}])")
    with connection:
        connection.executemany(
            "INSERT INTO near (rowid, vector) VALUES (?, ?)",
            ((number, one.tobytes()) for number, one in enumerate(every)),
        )
    return lambda at: connection.execute(
        "SELECT rowid FROM near WHERE vector MATCH ? AND k = ?", (asked[at].tobytes(), limit)
    ).fetchall()


def _lancedb(
    folder: Path, every: NDArray[np.float32], asked: Sequence[NDArray[np.float32]], limit: int
) -> Ask:
    import lancedb  # where it is installed
    import pyarrow as pa  # comes with it

    column = pa.FixedSizeListArray.from_arrays(pa.array(every.reshape(-1)), every.shape[1])
    table = lancedb.connect(str(folder)).create_table("near", pa.table({"vector": column}))
    return lambda at: table.search(asked[at]).limit(limit).to_arrow()
