"""What is told of scanners without a call: each manifest, what is here of it, and whether it passes its own test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assent.capabilities.exec._programs import in_thread
from assent.capabilities.scan._manifest import Tool
from assent.capabilities.scan._scanners import BUILT_IN, Found, Scanners, require_parser
from assent.capabilities.scan._self_test import self_test
from assent.errors import AssentError, InputError

if TYPE_CHECKING:
    from assent.findings.parsing import Parser, Tools
    from assent.sandbox import Sandbox, SandboxLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is told of a scanner: what is here of it, or why it can't be run."""

    tool: Tool
    source: str
    """`built in`, or the file."""
    parser: Parser | None = None
    """What reads its output."""
    found: Found | None = None
    fault: AssentError | None = None
    self_test: str | None = None

    @classmethod
    def of(cls, tool: Tool, file: Path, tools: Tools) -> Look:
        """What its manifest says, and whether its output can be read; nobody has looked for its program."""
        look = cls(tool=tool, source="built in" if file.parent == BUILT_IN else str(file))
        try:
            return replace(look, parser=require_parser(tools, tool))
        except AssentError as error:
            return replace(look, fault=error)


async def all_of(
    scanners: Scanners,
    tools: Tools,
    detect: Callable[[], Sandbox],
    limits: SandboxLimits,
    tested: str | None = None,
) -> list[Look | tuple[str, Path, InputError]]:
    """A look at every scanner, a few at a time: a manifest that can't be read is told with its file."""
    gate = asyncio.Semaphore(2)

    async def one(name: str, file: Path, tool: Tool | InputError) -> Look | tuple[str, Path, InputError]:
        if isinstance(tool, InputError):
            return name, file, tool
        async with gate:
            look = Look.of(tool, file, tools)
            parser = look.parser
            if parser is None:
                return look
            try:
                found = await scanners.find(tool, sandbox, limits)
            except AssentError as error:
                return replace(look, fault=error)
            result = None
            if name == tested:
                result = await self_test(scanners, tool, found, parser, sandbox=sandbox, limits=limits)
            return replace(look, found=found, self_test=result)

    sandbox = await in_thread(detect)
    try:
        return [*await asyncio.gather(*(one(*found) for found in await in_thread(scanners.tools)))]
    finally:
        sandbox.close()
