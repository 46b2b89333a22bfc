"""A program's way to a daemon: `assent.Runtime`'s own methods over HTTP, with a spool for what may be done later.

from assent.client import connect

async with connect("http://127.0.0.1:8420", key=key) as rt:
result = await rt.call("io.fs.write_file", {"path": "note.txt", "content": "hello"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.client._client import Client as Client
    from assent.client._client import Connecting as Connecting
    from assent.client._client import Server as Server
    from assent.client._client import connect as connect
    from assent.client._paths import Paths as Paths
    from assent.client._spool import Deferred as Deferred

__all__ = ["Client", "Connecting", "Deferred", "Paths", "Server", "connect"]

__getattr__, __dir__ = resolved_when_asked(
    __name__, {"._client": "Client Connecting Server connect", "._paths": "Paths", "._spool": "Deferred"}
)
