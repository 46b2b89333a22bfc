"""What is told of scanners without a call: each manifest, what is here of it, and whether it passes its own test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assent.capabilities.exec._programs import in_thread
from assent.capabilities.scan._manifest import Tool
from assent.capabilities.scan._scanners import BUILT_IN, Found, Scanners
from assent.capabilities.scan._self_test import self_test
from assent.errors import AssentError, InputError
from assent.findings.parsing import built_in_tools

if TYPE_CHECKING:
    from assent.sandbox import Sandbox, SandboxLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is told of a scanner: what is here of it, or why it can't be run."""

    tool: Tool
    source: str
    """`built in`, or the file."""
    found: Found | None = None
    fault: AssentError | None = None
    self_test: str | None = None

    @classmethod
    def of(cls, tool: Tool, file: Path) -> Look:
        """What its manifest says; nobody has looked for its program."""
        return cls(tool=tool, source="built in" if file.parent == BUILT_IN else str(file))


async def all_of(
    scanners: Scanners, detect: Callable[[], Sandbox], limits: SandboxLimits, tested: str | None = None
) -> list[Look | tuple[str, Path, InputError]]:
    """A look at every scanner, a few at a time: a manifest that can't be read is told with its file."""
    gate = asyncio.Semaphore(2)

    async def one(name: str, file: Path, tool: Tool | InputError) -> Look | tuple[str, Path, InputError]:
        if isinstance(tool, InputError):
            return name, file, tool
        async with gate:
            look = Look.of(tool, file)
            try:
                look = replace(look, found=await scanners.find(tool, sandbox, limits))
            except AssentError as error:
                return replace(look, fault=error)
            if name != tested:
                return look
            return replace(look, self_test=await _tested(scanners, look, sandbox, limits))

    sandbox = await in_thread(detect)
    try:
        return [*await asyncio.gather(*(one(*found) for found in scanners.tools()))]
    finally:
        sandbox.close()


async def _tested(scanners: Scanners, look: Look, sandbox: Sandbox, limits: SandboxLimits) -> str:
    assert look.found is not None, "only what is here is tested"
    parser = (await in_thread(built_in_tools)).get(look.tool.output.parser)
    if parser is None:
        return f"its parser `{look.tool.output.parser}` is none of ours"
    return await self_test(scanners, look.tool, look.found, parser, sandbox=sandbox, limits=limits)
