"""The scanners of one runtime: their manifests, and which program each one is on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.capabilities.exec._programs import in_thread, without_effect
from assent.capabilities.exec._rules import PATH
from assent.capabilities.findings import read_manifest
from assent.capabilities.scan._manifest import Tool, order_of, read_tool
from assent.capabilities.scan._scope import Scope
from assent.errors import AssentError, InputError
from assent.invocation import NoEffectError
from assent.spec.secret_text import SecretText
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.findings.parsing import Parser, Tools
    from assent.sandbox import Sandbox, SandboxLimits

BUILT_IN: Final = Path(__file__).with_name("tools")
FILE_BYTES_MAX: Final = 64 << 10
"""A manifest is a page."""

ASKING_S: Final = 30.0
"""How long a scanner may take to say which it is: some load all of their rules first."""

ANSWER_BYTES_MAX: Final = 64 << 10
_CHUNK_BYTES: Final = 1 << 20
_NAME: Final = re.compile("[a-z0-9][a-z0-9_-]{0,63}")
_SCRIPT_LINE_BYTES: Final = 1024
_SYSTEM: Final = (Path("/usr"), Path("/bin"))
"""Where programs see everything."""
_TERMINAL: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A scanner's program on this machine."""

    path: str
    sha256: str
    version: str
    is_pinned: bool


class Scanners:
    """The manifests, from the workspace's folder, the user's and ours: the first that has a name holds. Making one costs nothing.

    A manifest is read when it is asked for, so one that is mended counts at once.
    """

    def __init__(
        self,
        *,
        folders: Sequence[Path],
        paths: Sequence[Path],
        read_only: Sequence[Path],
        pins: Mapping[str, str],
        requires_pins: bool,
        scope: Callable[[], Scope | None],
        may_be_unenforced: bool,
        now_ms: Callable[[], int],
    ) -> None:
        self.folders: Final = (*folders, BUILT_IN)
        self.paths: Final = tuple(paths)
        self.read_only: Final = tuple(dict.fromkeys((*read_only, *paths)))
        self.may_be_unenforced: Final = may_be_unenforced
        self.scope: Final = scope
        self.now_ms: Final = now_ms
        self._pins = pins
        self._requires_pins = requires_pins
        self._known: dict[tuple[str, str, str], str] = {}

    def tool(self, name: str) -> Tool:
        """The manifest of this name. `NoEffectError` SCANNER_UNKNOWN, SCANNER_INVALID."""
        files = self._files()
        if not _NAME.fullmatch(name) or name not in files:
            raise NoEffectError(
                "SCANNER_UNKNOWN",
                f"there is no scanner `{name[:80]}`",
                path="tool",
                hint=did_you_mean(name, files, otherwise="`assent scan tools` lists them"),
            )
        try:
            return _read(files[name])
        except InputError as error:
            raise without_effect(error) from error

    def tools(self) -> list[tuple[str, Path, Tool | InputError]]:
        """All of them, each with its file, or with what is wrong with that. Blocks."""
        read: list[tuple[str, Path, Tool | InputError]] = []
        for name, file in self._files().items():
            try:
                read.append((name, file, _read(file)))
            except InputError as error:
                read.append((name, file, error))
        return sorted(read, key=lambda one: order_of(one[2]) if isinstance(one[2], Tool) else (-1, one[0]))

    async def find(self, tool: Tool, sandbox: Sandbox, limits: SandboxLimits) -> Found:
        """The program that answers as the scanner does: of several of its name, the first.

        `NoEffectError` SCANNER_MISSING, SCANNER_WRONG, SCANNER_PIN_MISMATCH, SCANNER_NOT_PINNED, SANDBOX_UNAVAILABLE.
        """
        places = await in_thread(lambda: [*self._places(tool)])
        if not places:
            names = ", ".join(f"`{one}`" for one in tool.binary)
            raise NoEffectError(
                "SCANNER_MISSING",
                f"`{tool.tool}` is not installed: there is no program {names}",
                path="tool",
                hint="install it, or name its folder under `[scan] paths`",
            )
        wrong: list[str] = []
        for place in places:
            digest = await in_thread(lambda place=place: digest_of(place))  # type: ignore[misc]  # a default that mypy can't infer
            is_pinned = self._require_pin(tool, place, digest)
            known = (str(place), digest, f"{tool.version.args}{tool.version.pattern}")
            version = self._known.get(known)
            if version is None:
                answer = await self._ask(tool, place, sandbox, limits)
                match = re.search(tool.version.pattern, answer)
                if match is None:
                    wrong.append(f"`{place}` says `{_first_line(answer)}`")
                    continue
                version = self._known[known] = match["version"] or "?"
            return Found(path=str(place), sha256=digest, version=version[:80], is_pinned=is_pinned)
        raise NoEffectError(
            "SCANNER_WRONG",
            f"`{tool.tool}` is not what stands under its name: {'; '.join(wrong)}",
            path="tool",
            hint=f"`{' '.join(tool.version.args)}` must answer `{tool.version.pattern}`",
        )

    def _require_pin(self, tool: Tool, place: Path, digest: str) -> bool:
        own = self._pins.get(tool.tool)
        pins = (own,) if own is not None else tool.sha256
        if pins and digest not in pins:
            raise NoEffectError(
                "SCANNER_PIN_MISMATCH",
                f"`{place}` is not the file that `{tool.tool}` is pinned to",
                path="tool",
                hint="if it was updated by you, change its pin",
                details={"found": digest, "pinned": [*pins]},
            )
        if not pins and self._requires_pins:
            raise NoEffectError(
                "SCANNER_NOT_PINNED",
                f"`{tool.tool}` is not pinned, and `[scan] require_pins` is set",
                path="tool",
                hint=f'name its file: `pins = {{ {tool.tool} = "{digest}" }}` under `[scan]`',
            )
        return bool(pins)

    async def _ask(self, tool: Tool, place: Path, sandbox: Sandbox, limits: SandboxLimits) -> str:
        """What it prints when it is asked for its version: confined, without a network, in an empty folder."""
        from assent.sandbox import Confinement, Scratch

        try:
            sandbox.require()
            scratch = await in_thread(Scratch.make)
            try:
                ended = await sandbox.run(
                    [str(place), *tool.version.args],
                    Confinement(
                        root=scratch.path,
                        read_only=self.readable(tool),
                        environment=self.bare_environment(tool),
                        limits=replace(
                            limits_of(tool, limits), wall_s=ASKING_S, output_bytes=ANSWER_BYTES_MAX
                        ),
                    ),
                )
            finally:
                await in_thread(scratch.remove)
        except AssentError as error:
            if error.code != "SANDBOX_PROGRAM":
                raise without_effect(error) from error
            needs = await in_thread(lambda: _needed(place, self.readable(tool)))
            hint = (
                f"if you trust them, name its interpreter's folders under `[scan]`: `read_only = {json.dumps(needs)}`"
                if needs
                else "name the folders that it needs under `[scan] read_only`"
            )
            raise NoEffectError(
                error.code, f"`{place}` can't be started inside the sandbox", path="tool", hint=hint
            ) from error
        return _TERMINAL.sub("", (ended.stdout + b"\n" + ended.stderr).decode(errors="replace"))

    def readable(self, tool: Tool) -> tuple[Path, ...]:
        """What it can read beside the system's folders."""
        return (*self.read_only, *map(Path, tool.read_only))

    def environment(self, tool: Tool) -> dict[str, SecretText]:
        """All that it finds in its environment: programs look for each other, and many give up without a home or a language."""
        path = ":".join([*map(str, self.paths), *PATH])
        said = {"PATH": path, "HOME": "/tmp", "LANG": "C.UTF-8", **tool.environment}  # noqa: S108  # its own, in the sandbox
        return {name: SecretText(value) for name, value in said.items()}

    def bare_environment(self, tool: Tool) -> dict[str, str]:
        """The same without what secrets are in: it is only asked who it is, or tried out."""
        return {name: value for name, value in self.environment(tool).items() if not value.names}

    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self.folders:
            for file in sorted(folder.glob("*.toml")):
                found.setdefault(file.stem, file)
        return found

    def _places(self, tool: Tool) -> Iterator[Path]:
        """Files that have one of its names and could be started."""
        for name in tool.binary:
            folders = [Path("/")] if name.startswith("/") else [*self.paths, *map(Path, PATH)]
            for place in dict.fromkeys(folder / name for folder in folders):
                if place.is_file() and os.access(place, os.R_OK | os.X_OK):
                    yield place


def _read(file: Path) -> Tool:
    data = read_manifest(file, FILE_BYTES_MAX, partial(_invalid, file))
    tool = read_tool(data, file.name if file.parent == BUILT_IN else str(file))
    if tool.tool != file.stem:
        raise _invalid(file, f"calls itself `{tool.tool}`: its file must have that name")
    return tool


def _invalid(file: Path, what: str) -> InputError:
    return InputError("SCANNER_INVALID", f"the scanner `{file}` {what}", path=str(file))


def require_parser(tools: Tools, tool: Tool) -> Parser:
    """What reads the scanner's output, known before it writes any. `NoEffectError` SCANNER_INVALID, TOOL_MANIFEST_INVALID."""
    wanted = tool.output.parser
    if wanted in tools.faults:
        raise without_effect(tools.faults[wanted])
    known = tools.parsers
    found = known.get(wanted) or next((one for one in known.values() if one.manifest.tool == wanted), None)
    if found is None:
        raise NoEffectError(
            "SCANNER_INVALID",
            f"`output.parser` of the scanner `{tool.tool}` names `{wanted}`, and no findings manifest has that name",
            path="output.parser",
            hint=did_you_mean(wanted, known, otherwise="docs/findings-parsers.md lists them"),
        )
    return found


def digest_of(place: Path) -> str:
    """The SHA-256 of a file. Blocks."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def limits_of(tool: Tool, limits: SandboxLimits) -> SandboxLimits:
    """Its manifest's limits; what that does not speak of is as `[sandbox]` has it."""
    said = tool.limits
    seconds = tool.time_ms / 1000
    return replace(
        limits,
        wall_s=seconds,
        cpu_s=max(limits.cpu_s, int(seconds * (os.cpu_count() or 1)) + 1),
        memory_bytes=said.memory_bytes,
        output_bytes=said.output_bytes,
        file_bytes=said.output_bytes,
        layer_bytes=max(limits.layer_bytes, said.output_bytes),
        processes=said.processes,
        open_files=said.open_files,
    )


def _needed(place: Path, readable: Iterable[Path]) -> list[str]:
    """The folders of a script's interpreter, by its path and by what that leads to, that programs don't see. Blocks."""
    with suppress(OSError, ValueError), place.open("rb") as file:
        mark, _, words = file.readline(_SCRIPT_LINE_BYTES).decode().partition("#!")
        if not mark and words:
            interpreter = Path(words.split()[0])
            folders = [one.parent.parent for one in (interpreter, interpreter.resolve())]
            seen = (*readable, *_SYSTEM)
            hidden = [one for one in folders if not any(one.is_relative_to(at) for at in seen)]
            kept = [one for one in readable if not any(one.is_relative_to(at) for at in hidden)]
            return [*dict.fromkeys(map(str, (*kept, *hidden)))] if hidden else []
    return []


def _first_line(answer: str) -> str:
    line = next((one.strip() for one in answer.splitlines() if one.strip()), "nothing")
    return "".join(one if one.isprintable() else "?" for one in line)[:120]


def recipes() -> dict[str, str]:
    """The workflows of scans that come with Assent, as YAML, by name."""
    found = files("assent.capabilities.scan").joinpath("recipes").iterdir()
    return {
        one.name.removesuffix(".yaml"): one.read_text("utf-8")
        for one in sorted(found, key=lambda one: one.name)
        if one.name.endswith(".yaml")
    }
