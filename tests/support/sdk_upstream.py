"""An honest MCP server, written with the SDK."""

from __future__ import annotations

from mcp.server import MCPServer
from pydantic import SecretStr

server = MCPServer("counting")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def sign_in(user: str, password: SecretStr) -> bool:
    """Signs in, with the one password that there is."""
    return password.get_secret_value() == f"{user}-long-token"


@server.tool()
def repeat(text: str) -> str:
    """Gives a text back."""
    return text


@server.tool(structured_output=False)
def quote(text: str) -> str:
    """Gives a text back, in no structure."""
    return text


if __name__ == "__main__":
    server.run()
