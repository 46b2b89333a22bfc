"""An agent commits through somebody else's git server, which `assent mcp` has behind its gate. The model is a script."""

import asyncio
from pathlib import Path

from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client

ASSENT = StdioServerParameters(command="assent", args=["mcp", "--only", "git"])

PROJECT = str(Path("project").resolve())

SCRIPT = [
    ("git_status", {}),
    ("git_branch", {"mode": "create", "branchName": "agent/before"}),
    ("git_add", {"paths": ["count.txt"]}),
    ("git_commit", {"message": "Count on"}),
    ("git_reset", {"mode": "hard", "target": "HEAD~1", "confirmed": True}),
    ("git_push", {"remote": "origin"}),
]


async def main():
    async with stdio_client(ASSENT) as streams, ClientSession(*streams) as session:
        await session.initialize()
        for tool, arguments in SCRIPT:
            try:
                result = await session.call_tool(tool, {"path": PROJECT, **arguments})
            except MCPError as error:  # what is no tool
                print(f"{tool}: {error}")
            else:
                refusal = (result.structured_content or {}).get("error") or {}
                print(f"{tool}: {refusal.get('code', 'done')}")


asyncio.run(main())
