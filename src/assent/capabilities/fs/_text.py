"""Text to bytes and back, with errors that say where and what to do."""

from __future__ import annotations

from typing import Final

from assent._lazy import compiled_when_asked
from assent.invocation import NoEffectError

_ENCODING_NAME: Final = compiled_when_asked(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}\Z")


def encode(text: str, encoding: str) -> bytes:
    """The bytes of `text`. Raises `NoEffectError`: ENCODING_UNKNOWN, ENCODING_FAILED with the first offending position."""
    try:
        return text.encode(_checked(encoding))
    except UnicodeEncodeError as error:
        raise _failed(encoding, f"the character at position {error.start} cannot be written") from None
    except LookupError:
        raise _unknown(encoding) from None


def decode(data: bytes, encoding: str) -> str:
    """The text of `data`; errors as in `encode`."""
    try:
        return data.decode(_checked(encoding))
    except UnicodeDecodeError as error:
        raise _failed(encoding, f"the byte at position {error.start} is none of its characters") from None
    except LookupError:
        raise _unknown(encoding) from None


def _checked(encoding: str) -> str:
    if not _ENCODING_NAME.match(encoding):
        raise _unknown(encoding)
    return encoding


def _unknown(encoding: str) -> NoEffectError:
    return NoEffectError(
        "ENCODING_UNKNOWN",
        f"`{encoding[:60]}` is no known text encoding",
        path="encoding",
        hint="for example `utf-8`, `utf-16` or `latin-1`",
    )


def _failed(encoding: str, why: str) -> NoEffectError:
    return NoEffectError(
        "ENCODING_FAILED",
        f"the content does not fit the encoding `{encoding}`: {why}",
        path="encoding",
        hint="name another encoding, or use `io.fs.write_bytes`",
    )
