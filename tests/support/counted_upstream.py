"""An MCP server whose effects somebody else keeps, and who is told of each of its steps: it can be killed at any of them.

`python counted_upstream.py PORT`, on standard input and output. At PORT of this machine listens whoever keeps the book
(`tests/crash/test_gateway.py`): a line of JSON is what is done, or where the server stands, and what comes back is the answer.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any, Final

_TEXT: Final = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
_ID: Final = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
_IDS: Final = {"type": "object", "properties": {"ids": {"type": "array"}}, "required": ["ids"]}
TOOLS: Final[dict[str, dict[str, Any]]] = {
    "add": {"inputSchema": _TEXT, "outputSchema": _ID},
    "put": {"inputSchema": _TEXT, "outputSchema": _ID},
    "find": {"inputSchema": _TEXT, "outputSchema": _IDS},
    "remove": {"inputSchema": _ID},
}
"""`add` can be asked about (`find`), `put` can't; `remove` takes either back."""


def tell(*said: Any) -> Any:  # `Any`: JSON
    """The answer of whoever keeps the book; where that is `die`, nothing happens any more."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as keeper:
        keeper.sendall(json.dumps(said).encode() + b"\n")
        with keeper.makefile() as told:
            answer = json.loads(told.readline() or '"die"')
    if answer == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def _result(method: str, params: dict[str, Any]) -> dict[str, Any]:
    if method == "initialize":
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "counted", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": name, **schemas} for name, schemas in TOOLS.items()]}
    name, given = params["name"], params["arguments"]
    found = tell("do", name, next(iter(given.values())))
    tell("at", f"{name}.done")
    structured = {"ids": found} if name == "find" else {"id": found}
    return {"content": [], **({} if name == "remove" else {"structuredContent": structured})}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        method, params = message["method"], message.get("params", {})
        name = {"tools/list": "list"}.get(method, params.get("name", method))
        if method not in ("initialize", "tools/list", "tools/call"):
            told: dict[str, Any] = {"error": {"code": -32601, "message": "no such method"}}
        else:
            tell("at", f"{name}.read")
            told = {"result": _result(method, params)}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **told}) + "\n")
        sys.stdout.flush()
        if "result" in told:
            tell("at", f"{name}.told")


if __name__ == "__main__":
    main()
