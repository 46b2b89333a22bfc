"""An honest MCP server, written with the SDK, that has all that goes through a gateway."""

from __future__ import annotations

import mcp_types as wire
from mcp.server import MCPServer
from mcp.server.mcpserver.prompts.base import AssistantMessage, UserMessage
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


@server.resource("memo://plain", title="A memo", mime_type="text/markdown", meta={"of": "tests"})
def plain() -> str:
    """Some text."""
    return "# Ä memo"


@server.resource("memo://bytes", mime_type="image/png")
def picture() -> bytes:
    """Some bytes."""
    return b"\x89PNG\x00"


@server.resource("memo://of/{name}/{year}")
def of(name: str, year: str) -> str:
    """One of a family."""
    return f"{name} in {year}"


@server.resource("memo://broken")
def broken() -> str:
    """Never there."""
    raise ValueError("it can't")


@server.prompt(title="Talk")
def talk(topic: str, tone: str = "kind") -> list[UserMessage | AssistantMessage]:
    """Talk about something."""
    shown = wire.EmbeddedResource(
        type="resource", resource=wire.TextResourceContents(uri="memo://plain", text=topic)
    )
    return [UserMessage(f"{tone}: {topic}"), UserMessage(shown), AssistantMessage("gladly")]


@server.prompt()
def look() -> list[UserMessage]:
    """Look at a picture."""
    return [UserMessage(wire.ImageContent(type="image", data="iVBORw==", mime_type="image/png"))]


@server.completion()  # type: ignore[no-untyped-call,untyped-decorator]  # the SDK has not typed it
async def complete(
    ref: wire.PromptReference | wire.ResourceTemplateReference,
    argument: wire.CompletionArgument,
    context: wire.CompletionContext | None,
) -> wire.Completion:
    """What begins so, and who asks for what."""
    place = ref.name if isinstance(ref, wire.PromptReference) else ref.uri
    before = "" if context is None else str(context.arguments)
    return wire.Completion(values=[argument.value + "x", place, before], total=9, has_more=True)


if __name__ == "__main__":
    server.run()
