"""Checks an exported Assent ledger with nothing but Python: no Assent, no libraries, no network.

    python3 verify.py [--key VKEY] [--checkpoint FILE]

Every export carries a copy of this file, so that a ledger can be checked where Assent was never installed, by a program short
enough to be read first. It recomputes the hash of every entry, the Merkle tree over them (RFC 9162), every checkpoint signature
(Ed25519, RFC 8032) and every payload's commitment. `--key` is the ledger's public key from a source you trust; without it the
key in the export itself is used, which shows that the export agrees with itself and no more. `--checkpoint` is a checkpoint
that was kept elsewhere: with it, a ledger that was rolled back or rewritten by its own keeper is found as well.

Ends with 0 when everything fits, else with 6 and the first thing that does not.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

Point = tuple[int, int, int, int]


class MismatchError(Exception):
    """Something is not as it was signed."""


def main(arguments: list[str], folder: Path) -> int:
    """The exit code for these arguments; `folder` is the export."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or not set(options) <= {"--key", "--checkpoint"}:
        sys.stderr.write("usage: python3 verify.py [--key VKEY] [--checkpoint FILE]\n")
        return 2
    try:
        vkey = options.get("--key") or (folder / "ledger.vkey").read_text(encoding="utf-8").strip()
        kept = options.get("--checkpoint")
        sys.stdout.write(
            check(folder, vkey, None if kept is None else Path(kept).read_text(encoding="utf-8"))
        )
    except MismatchError as error:
        sys.stdout.write(f"NOT what was recorded: {error}\n")
        return 6
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        sys.stdout.write(f"NOT an export of a ledger: {error!r}\n")
        return 6
    if "--key" not in options:
        sys.stdout.write("the key came from the export itself: compare it with one from a source you trust\n")
    return 0


def check(folder: Path, vkey: str, kept: str | None) -> str:
    """A summary, after checking everything in the folder."""
    signed = [open_checkpoint(json.loads(line)["note"], vkey) for line in lines(folder / "checkpoints.jsonl")]
    if kept is not None:
        signed.append(open_checkpoint(kept, vkey))
    check_newest(folder)
    roots: dict[int, bytes] = {}
    for size, root in signed:
        if roots.setdefault(size, root) != root:
            raise MismatchError(f"two signed checkpoints of size {size} differ: the ledger's keeper has lied")
    peaks: list[bytes] = []
    bound: set[str] = set()
    count, version = 0, 1
    numbers: dict[str, int] = {}
    for leaf in lines(folder / "leaves.jsonl"):
        peaks = grown(peaks, count, sha256(b"\x00" + leaf).digest())
        entry = json.loads(leaf)
        check_place(entry, count, version, numbers)
        version = entry["v"]
        bound.update(
            value for value in entry["event"].values() if isinstance(value, str) and len(value) == 64
        )
        count += 1
        if count in roots and root_of(peaks) != roots[count]:
            raise MismatchError(f"the first {count} entries are not those that were signed")
    newest = max(roots, default=0)
    if newest > count:
        raise MismatchError(f"entry {count} and what followed are gone: {newest} entries were signed")
    payloads = check_payloads(folder / "payloads.jsonl", bound)
    return (
        f"{count} entries, {len(signed)} signed checkpoints, {payloads} payloads: as they were recorded\n"
        f"root {b64encode(root_of(peaks)).decode()}\n"
        f"{count - newest} entries at the end are not signed yet\n"
    )


def check_newest(folder: Path) -> None:
    """The file to be kept elsewhere is the newest of the checkpoints."""
    notes = [json.loads(line)["note"] for line in lines(folder / "checkpoints.jsonl")]
    if (folder / "checkpoint").read_text(encoding="utf-8") != (notes[-1] if notes else ""):
        raise MismatchError("the file `checkpoint` is not the newest signed checkpoint")


def check_place(entry: dict[str, Any], place: int, version: int, numbers: dict[str, int]) -> None:
    """An entry is the next one of its stream (a run, or the ledger's own); one of format 1 says its place in the log as well."""
    if entry["v"] not in (version, 2):
        raise MismatchError(f"entry {place} is of an older format than one before it")
    stream = entry["stream"] if entry["v"] == 2 else entry.get("run", "ledger")
    number = numbers.get(stream, 0)
    numbers[stream] = number + 1
    if entry["v"] == 1 and entry["seq"] != place:
        raise MismatchError(f"entry {place} calls itself {entry['seq']}")
    if entry.get("n", number) != number:
        raise MismatchError(f"entry {place} is number {entry['n']} of {stream}, not {number}")


def check_payloads(path: Path, bound: set[str]) -> int:
    """How many payloads there are, after checking that each is one that an entry binds."""
    if not path.exists():
        return 0
    count = 0
    for line in lines(path):
        row = json.loads(line)
        body = b"assent-payload-v1\x00" + b64decode(row["salt"]) + b64decode(row["body"])
        if row["commitment"] not in bound or sha256(body).hexdigest() != row["commitment"]:
            raise MismatchError(f"the payload of entry {row['seq']} is not the one that was recorded")
        count += 1
    return count


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, without their newlines."""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                raise MismatchError(f"{path.name} ends in the middle of a line")
            yield line[:-1]


def grown(peaks: list[bytes], size: int, node: bytes) -> list[bytes]:
    """The roots of the full subtrees after one more leaf: one per set bit of the size, the largest first."""
    while size & 1:
        node = sha256(b"\x01" + peaks.pop() + node).digest()
        size >>= 1
    peaks.append(node)
    return peaks


def root_of(peaks: list[bytes]) -> bytes:
    """The root of the whole tree."""
    if not peaks:
        return sha256(b"").digest()
    node = peaks[-1]
    for peak in reversed(peaks[:-1]):
        node = sha256(b"\x01" + peak + node).digest()
    return node


def open_checkpoint(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint that the key has signed."""
    name, _, rest = vkey.partition("+")
    identity, _, encoded = rest.partition("+")
    key = b64decode(encoded, validate=True)
    if len(key) != 33 or key[0] != 1 or sha256(name.encode() + b"\n" + key).hexdigest()[:8] != identity:
        raise MismatchError("this is not an Ed25519 key of the form name+id+base64")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, _, rest = line.partition(" ")
        signer, _, encoded = rest.partition(" ")
        blob = b64decode(encoded, validate=True)
        if dash == "\u2014" and signer == name and blob[:4].hex() == identity:
            if not ed25519_verifies(key[1:], blob[4:], text.encode()):
                raise MismatchError("the signature of a checkpoint does not fit its text")
            origin, size, root = text.split("\n")[:3]
            if origin != name:
                raise MismatchError(f"a checkpoint is of the log {origin}")
            return int(size), b64decode(root, validate=True)
    raise MismatchError("a checkpoint is not signed with this key")


P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def ed25519_verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is good."""
    a = decompressed(key)
    s = int.from_bytes(signature[32:], "little")
    if a is None or len(signature) != 64 or s >= ORDER:
        return False
    h = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    negative = (P - a[0], a[1], a[2], P - a[3])
    return compressed(added(times(s, BASE), times(h, negative))) == signature[:32]


def added(p: Point, q: Point) -> Point:
    """The sum of two points, in extended homogeneous coordinates."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(factor: int, point: Point) -> Point:
    """A multiple of a point."""
    result: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            result = added(result, point)
        point = added(point, point)
        factor >>= 1
    return result


def compressed(point: Point) -> bytes:
    """A point as 32 bytes."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decompressed(data: bytes) -> Point | None:
    """The point that 32 bytes stand for, if there is one."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


_BASE = decompressed((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _BASE is not None
BASE: Point = _BASE

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parent))
