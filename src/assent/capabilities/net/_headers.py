"""Which headers may be sent: none that frames a message, and none that two readers could take for different ones."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")
FRAMING: Final = frozenset(
    "accept-encoding connection content-length expect host http2-settings keep-alive proxy-authenticate "
    "proxy-authorization proxy-connection te trailer transfer-encoding upgrade via".split()
)
"""What says where a message ends, or which connection it goes over, is ours to say."""


def fault_of_name(name: str) -> str | None:
    """Why a header can't be called so; None where it can."""
    if not _NAME.fullmatch(name):
        return f"`{name[:80]}` is not a name of a header"
    return f"the header `{name.lower()}` is set by Assent itself" if name.lower() in FRAMING else None


def can_be_value(text: str) -> bool:
    """Whether a header can have this value: no line break in it, and nothing outside of ASCII."""
    return _VALUE.fullmatch(text) is not None
