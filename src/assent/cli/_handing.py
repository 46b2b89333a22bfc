"""A file that a command hands over to a call: read with the rights of whoever typed the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from assent.cli.terminal._files import reading
from assent.runtime.service import requests
from assent.system import SystemEntropy

if TYPE_CHECKING:
    from assent.cli._door import Door

PART_BYTES: Final = 4 << 20


def hand_over(
    door: Door, file: str, capability: str
) -> dict[str, Any]:  # `Any`: JSON, for the parameters of a call
    """Hand over a file, or standard input for `-`; what a call of this capability names it by.

    `FILE_MISSING`, `FILE_UNREADABLE`, `UPLOADS_FULL`.
    """
    upload = SystemEntropy().salt().hex()
    with reading(None if file == "-" else door.cwd / file, what="the file") as read:
        data, sent = read(PART_BYTES), 0
        while True:
            following = read(PART_BYTES) if data else b""
            part = requests.HandOver(
                upload=upload, capability=capability, data=data, offset=sent, last=not following
            )
            handed = door.perform(part)
            if not following:
                return {"upload": upload, "blob": handed.blob, "bytes": handed.bytes}
            data, sent = following, handed.bytes
