"""An agent tidies up a folder through somebody else's server, which `assent mcp` has behind its gate. The model is a script."""

import asyncio

from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

ASSENT = StdioServerParameters(command="assent", args=["mcp", "--only", "files"])

SCRIPT = [
    ("list_directory", {"path": "."}),
    ("edit_file", {"path": "today.txt", "edits": [{"oldText": "buy milk", "newText": "milk: bought"}]}),
    ("move_file", {"source": "monday.txt", "destination": "2025/monday.txt"}),
    ("move_file", {"source": "sunday.txt", "destination": "2025/sunday.txt"}),
    ("write_file", {"path": "today.txt", "content": ""}),
]


async def main():
    async with stdio_client(ASSENT) as streams, ClientSession(*streams) as session:
        await session.initialize()
        for tool, arguments in SCRIPT:
            try:
                result = await session.call_tool(tool, arguments)
            except MCPError as error:  # what is no tool
                print(f"{tool}: {error}")
            else:
                refusal = (result.structured_content or {}).get("error") or {}
                print(f"{tool}: {refusal.get('code', 'done')}")


asyncio.run(main())
