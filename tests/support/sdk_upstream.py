"""An honest MCP server, written with the SDK."""

from __future__ import annotations

from mcp.server import MCPServer

server = MCPServer("counting")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


if __name__ == "__main__":
    server.run()
