"""Whether a scanner works as its manifest says: it is run over files of the manifest, and has to find something in them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.capabilities.exec._programs import in_thread
from assent.capabilities.scan._manifest import OUTPUT, Tool
from assent.capabilities.scan._options import options_of, words_of
from assent.capabilities.scan._scanners import Found, Scanners, limits_of
from assent.errors import AssentError
from assent.findings.parsing import About, Parser, Report

if TYPE_CHECKING:
    from assent.sandbox import Ended, Sandbox, SandboxLimits

PASSED: Final = "passed"
_ABOUT: Final = About("00000000-0000-4000-8000-000000000000", "2026-01-01T00:00:00Z")


async def self_test(
    scanners: Scanners, tool: Tool, found: Found, parser: Parser, *, sandbox: Sandbox, limits: SandboxLimits
) -> str:
    """`passed`, or what is wrong. The scanner runs confined, without a network; nothing of it is kept."""
    from assent.sandbox import Confinement, Scratch

    test = tool.self_test
    if test is None:
        return "the manifest has no self-test"
    root, layer = await in_thread(Scratch.make), await in_thread(Scratch.make)
    try:
        for name, text in test.files.items():
            (root.path / name).write_text(text, encoding="utf-8")
        values = {"target": test.target, "output": f"./{OUTPUT}{tool.output.name}"}
        words = words_of(tool, values | options_of(tool, test.options))
        ended = await sandbox.run(
            [found.path, *words],
            Confinement(
                root=root.path,
                layer=layer.path,
                read_only=scanners.readable(tool),
                environment=scanners.bare_environment(tool),
                limits=limits_of(tool, limits),
            ),
        )
        return await in_thread(lambda: _judged(tool, ended, parser, sandbox, layer.path))
    except AssentError as error:
        return error.message
    finally:
        await in_thread(layer.remove)
        await in_thread(root.remove)


def _judged(tool: Tool, ended: Ended, parser: Parser, sandbox: Sandbox, layer: Path) -> str:
    if ended.limit is not None or ended.exit_code not in tool.success:
        return f"it ended with {ended.limit or ended.exit_code}"
    written = ended.stdout
    if tool.output.to == "file":
        capture = sandbox.captured(layer)
        change = next((one for one in capture.changes if one.path == OUTPUT + tool.output.name), None)
        if change is None:
            return "it wrote no output"
        with capture.open(change) as file:
            written = file.read()
    report = Report(tool.tool)
    for _ in parser.read(BytesIO(written).read, _ABOUT, report):
        pass
    if report.fault is not None:
        return f"its output can't be read: {report.fault.why}"
    return PASSED if report.findings else "it found nothing in what it must find something in"
