"""What is going to be written, looked at on its way: no secret that was handed out enters a file."""

from __future__ import annotations

from collections.abc import Iterable

from assent.capabilities.fs.world._paths import is_temporary, shown, split
from assent.invocation.call.exposure import HINT, unexposed
from assent.secrets.redaction import Redactor


def to_write(redactor: Redactor, path: str, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes; `NoEffectError` SECRET_EXPOSED."""
    if not redactor.is_active:
        return chunks
    # Work under a hidden name is told by what stands below it, if anything: nobody knows the name.
    parts = split(path)
    hidden = next((number for number, part in enumerate(parts) if is_temporary(part)), -1)
    told = shown("/".join(parts[hidden + 1 :])) or None
    what = f"what would be written to `{told}`" if told else "what would be written"
    return unexposed(redactor, chunks, what, path=told, hint=HINT)
