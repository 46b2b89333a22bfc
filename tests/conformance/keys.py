"""`assent.key.*`: what is seen is which keys open, as whom and for what."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from assent.errors import Json
from assent.runtime import Runtime
from assent.runtime.settings.effective import Settings, own_name
from assent.runtime.wiring.key_store import KeyStore
from tests.conformance.case import Case, Cell, Escape, Stage

_ID: Final = f"ak_{'a' * 16}"
_ME: Final = own_name(os.getuid())
_KEY: Final[dict[str, Json]] = {
    "id": _ID,
    "digest": "ab" * 32,
    "name": "nightly",
    "principal": _ME,
    "scopes": ["call", "read"],
}
_AT_ONCE: Final = "it keeps one small file"


def opening(stage: Stage) -> object:
    """Every key that opens."""
    stage.shown[_ME] = "user:ann"
    keys = KeyStore(stage.workspace / ".assent").all()
    return [(key.id, key.principal, sorted(key.scopes)) for key in keys if key.revoked_ms is None]


def there(stage: Stage) -> None:
    """A key that was made."""
    settings = Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)

    async def called() -> None:
        async with Runtime(settings) as runtime:
            await runtime.call("assent.key.create", _KEY)

    with ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
        pool.submit(lambda: asyncio.run(called())).result()


CASES = (
    Case(
        "assent.key.create",
        inputs=_KEY,
        settings="[identity]\nstrict = true\n",
        observe=opening,
        bad=[
            {**_KEY, "id": "../../assent"},
            {**_KEY, "digest": "secret"},
            {**_KEY, "scopes": []},
            {**_KEY, "scopes": ["all"]},
            {**_KEY, "expires_in_ms": 0},
        ],
        escapes=[Escape({**_KEY, "principal": "user:somebody-else"}, "KEY_REFUSED")],
        without={Cell.TIMEOUT: _AT_ONCE},
    ),
    Case(
        "assent.key.revoke",
        inputs={"id": _ID},
        arrange=there,
        observe=opening,
        bad=[{"id": "../../assent"}],
        escapes=[Escape({"id": f"ak_{'b' * 16}"}, "KEY_UNKNOWN")],
        without={Cell.TIMEOUT: _AT_ONCE},
    ),
)
