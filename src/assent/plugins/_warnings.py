"""Judgements about a manifest: where the code does more than it declares, or more than can be seen by reading it.

Here they forbid nothing: it is what a person has to know, the gravest first. Which of them refuse a plugin, trust says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from assent.plugins.manifest import HTTP, Capability, Manifest, Permissions, PluginWarning, Use, UseKind
from assent.spec.reach import ANY, Reach
from assent.spec.words.globs import glob_matches

BUILTIN_NAMESPACES: Final = (
    "agent.",
    "assent.",
    "data.",
    "findings.",
    "io.fs.",
    "knowledge.",
    "mcp.",
    "net.http.",
    "notify.",
    "resource.",
    "scan.",
    "sys.",
    "text.",
    "workflow.",
)
"""Beginnings of ids that belong to Assent itself, whether or not the very id exists."""

_HINTS: Final[Mapping[str, str | None]] = {
    "PLUGIN_CALL_HIDDEN": "plain code would name it; ask its author why it does not",
    "PLUGIN_CODE_DYNAMIC": "read this place yourself, or do without",
    "PLUGIN_CODE_NATIVE": "trust it only as far as you trust its author",
    "PLUGIN_CODE_PATCHES": "wrap it instead; a plugin changes nothing but itself",
    "PLUGIN_STARTS_WITH_PYTHON": "do not install it",
    "PLUGIN_ID_SHADOWS": None,
    "PLUGIN_ID_TWICE": "give one of them another id or version",
    "PLUGIN_IMPORT_EFFECT": "do it in a handler, or in a module of the application that is started",
    "PLUGIN_NETWORK_UNDECLARED": 'declare it under `permissions`: `network = ["HOST"]`',
    "PLUGIN_PROCESS_UNDECLARED": 'declare it under `permissions`: `process = ["PROGRAM"]`',
    "PLUGIN_FILES_UNDECLARED": 'declare it under `permissions`: `files = ["PATH"]`',
    "PLUGIN_ENVIRONMENT_UNDECLARED": 'declare it under `permissions`: `environment = ["NAME"]`',
    "PLUGIN_SECRET_UNDECLARED": 'declare it under `permissions`: `secrets = ["NAME"]`',
    "PLUGIN_NETWORK_DIRECT": (
        "let it use `context.http`; or, with all that Assent may do: `assent plugin trust NAME --in-process`"
    ),
    "PLUGIN_NETWORK_ANYWHERE": "name the hosts; what leaves through the others is for its maker to choose",
    "PLUGIN_RISK_UNDERSTATED": None,
    "PLUGIN_PART_MISSING": "attach the part, or mend the claim; it can't be registered as it is",
    "PLUGIN_VALUE_UNKNOWN": "write constants there; Assent will not load what it could not compare",
    "PLUGIN_PERMISSION_UNUSED": "take it out of `permissions`; what is not needed should not be granted",
    "PLUGIN_UNDECLARED": (
        "add `[tool.assent.plugin]` to its `pyproject.toml` or, in a single file, to its inline metadata"
    ),
    "PLUGIN_EMPTY": 'declare one with `@capability("id", …)` from `assent`',
}
"""What to do about each warning, the gravest first; None where that depends on what was found."""

ORDER: Final = tuple(_HINTS)

_UNDECLARED: Final = {
    UseKind.NETWORK: ("PLUGIN_NETWORK_UNDECLARED", "reaches the network", "network"),
    UseKind.PROCESS: ("PLUGIN_PROCESS_UNDECLARED", "starts or steers processes", "process"),
    UseKind.FILES: ("PLUGIN_FILES_UNDECLARED", "reaches files outside `context.world`", "files"),
    UseKind.ENVIRONMENT: ("PLUGIN_ENVIRONMENT_UNDECLARED", "reads the environment", "environment"),
}
_START_FILES: Final = re.compile(r"(?:^|/)(?:[^/]+\.pth|(?:site|user)customize\.py)\Z")
_EFFECTS: Final = (UseKind.NETWORK, UseKind.PROCESS, UseKind.FILES, UseKind.ENVIRONMENT, UseKind.DYNAMIC)


def warnings_of(manifest: Manifest, known_ids: Collection[str] = ()) -> list[PluginWarning]:
    """Every warning about a manifest, the gravest first. `known_ids` are those of capabilities that are there already."""
    found = [
        *_about_uses(manifest),
        *_about_files(manifest),
        *_about_ids(manifest, known_ids),
        *_about_secrets(manifest),
        *_about_capabilities(manifest.capabilities),
        *_about_declaration(manifest),
    ]
    return sorted(dict.fromkeys(found), key=lambda one: (ORDER.index(one.code), _place(one.path)))


def _warning(code: str, message: str, path: str | None = None, *, hint: str | None = None) -> PluginWarning:
    return PluginWarning(code=code, message=message, path=path, hint=hint or _HINTS[code])


def _place(path: str | None) -> tuple[str, int]:
    file, _, line = (path or "").rpartition(":")
    return (file, int(line)) if line.isdigit() else (path or "", 0)


def _about_uses(manifest: Manifest) -> Iterator[PluginWarning]:
    permissions = manifest.declaration.permissions
    for use in manifest.uses:
        what = f"`{use.name}`" + (f" (`{use.target}`)" if use.target else "")
        if use.is_hidden:
            yield _warning("PLUGIN_CALL_HIDDEN", f"the code goes out of its way to reach {what}", use.at)
        elif use.kind is UseKind.DYNAMIC:
            yield _warning(
                "PLUGIN_CODE_DYNAMIC",
                f"{what} makes or finds code while it runs, which no reading can see",
                use.at,
            )
        elif use.kind is UseKind.NATIVE:
            yield _warning(
                "PLUGIN_CODE_NATIVE", f"{what} runs machine code, which no reading can see", use.at
            )
        elif use.kind is UseKind.PATCH:
            yield _warning(
                "PLUGIN_CODE_PATCHES",
                f"{what} of another package is replaced, for everybody who uses it",
                use.at,
            )
        if use.is_import_time and use.kind in _EFFECTS:
            yield _warning(
                "PLUGIN_IMPORT_EFFECT",
                f"importing the plugin comes to {what}, before any policy is asked",
                use.at,
            )
        if use.kind in _UNDECLARED and not _is_covered(use, permissions):
            code, does, key = _UNDECLARED[use.kind]
            asked = getattr(permissions, key)
            more = (
                f", which is not among the declared ones ({', '.join(asked)})"
                if asked
                else ", which it does not declare"
            )
            yield _warning(code, f"the code {does} by {what}{more}", use.at)
        if use.kind is UseKind.NETWORK and use.name != HTTP:
            yield _warning(
                "PLUGIN_NETWORK_DIRECT",
                f"the code reaches the network by {what}, and in a worker there is none",
                use.at,
            )


def _is_covered(use: Use, permissions: Permissions) -> bool:
    """Whether a use is among what is asked for. A target that can't be known is covered by asking for anything of its kind."""
    match use.kind:
        case UseKind.NETWORK:
            services = Reach.of("", permissions.network).services
            host = None if use.target is None else use.target.lower().strip("[]")
            return any(host is None or service.names(host) for service in services)
        case UseKind.PROCESS:
            target = use.target
            return _is_among(target, permissions.process) or (
                target is not None and target.rpartition("/")[2] in permissions.process
            )
        case UseKind.FILES:
            return _is_among(
                use.target, [*permissions.files, *(f"{path.rstrip('/')}/*" for path in permissions.files)]
            )
        case _:
            return _is_among(use.target, permissions.environment)


def _is_among(target: str | None, asked: Iterable[str]) -> bool:
    patterns = [*asked]
    return bool(patterns) and (target is None or any(glob_matches(pattern, target) for pattern in patterns))


def _about_files(manifest: Manifest) -> Iterator[PluginWarning]:
    for file in manifest.files:
        if _START_FILES.search(file.path):
            yield _warning(
                "PLUGIN_STARTS_WITH_PYTHON",
                f"`{file.path}` runs whenever Python starts, with or without Assent",
                file.path,
            )
        elif file.kind in ("native", "bytecode"):
            yield _warning(
                "PLUGIN_CODE_NATIVE",
                f"`{file.path}` can be imported but not read",
                file.path,
                hint="ask for the source, or trust it only as far as you trust its author",
            )


def _about_ids(manifest: Manifest, known_ids: Collection[str]) -> Iterator[PluginWarning]:
    seen: dict[tuple[str, str | None], str] = {}
    for one in manifest.capabilities:
        if one.id is None:
            continue
        if one.id in known_ids or one.id.startswith(BUILTIN_NAMESPACES):
            whose = "is there already" if one.id in known_ids else "is in a namespace of Assent itself"
            yield _warning(
                "PLUGIN_ID_SHADOWS",
                f"the capability id `{one.id}` {whose}",
                one.at,
                hint=f"begin the plugin's ids with a name of its own: `{manifest.name}.`",
            )
        if one.is_registered and (one.id, one.version) in seen:
            yield _warning(
                "PLUGIN_ID_TWICE",
                f"`{one.id}@{one.version}` is declared twice, also at {seen[one.id, one.version]}",
                one.at,
            )
        seen.setdefault((one.id, one.version), one.at)


def _about_secrets(manifest: Manifest) -> Iterator[PluginWarning]:
    allowed = set(manifest.declaration.permissions.secrets)
    for one in manifest.capabilities:
        for name in one.secrets:
            if name not in allowed:
                yield _undeclared_secret(f"capability `{one.id}` needs the secret `{name}`", one.at)
    for secret in manifest.secrets:
        if secret.name is None:
            yield _undeclared_secret(
                "the code asks for a secret whose name only running would tell", secret.at
            )
        elif secret.name not in allowed:
            yield _undeclared_secret(f"the code asks for the secret `{secret.name}`", secret.at)


def _undeclared_secret(message: str, at: str) -> PluginWarning:
    return _warning("PLUGIN_SECRET_UNDECLARED", f"{message}, which the plugin does not declare", at)


def _about_capabilities(capabilities: Iterable[Capability]) -> Iterator[PluginWarning]:
    for one in capabilities:
        if one.unknown:
            named = ", ".join(f"`{name}`" for name in one.unknown)
            yield _warning(
                "PLUGIN_VALUE_UNKNOWN",
                f"of capability `{one.id or '?'}` only running would tell: {named}",
                one.at,
            )
        yield from _about_risk(one)
        if "parts" in one.unknown or "compensation" in one.unknown or "compensated_by" in one.unknown:
            continue
        claims = one.compensation is not None and one.compensated_by is None and one.operation != "READ"
        if claims is not ("compensate" in one.parts) and one.operation is not None:
            said = (
                "claims a compensation that nothing performs"
                if claims
                else "has a `compensate` that nothing claims"
            )
            yield _warning("PLUGIN_PART_MISSING", f"capability `{one.id or '?'}` {said}", one.at)


def _about_risk(one: Capability) -> Iterator[PluginWarning]:
    reached = ", ".join(
        kind
        for kind in one.reaches
        if kind in (UseKind.PROCESS, UseKind.FILES, UseKind.NATIVE, UseKind.DYNAMIC)
    )
    if one.operation == "READ" and reached:
        yield _warning(
            "PLUGIN_RISK_UNDERSTATED",
            f"capability `{one.id or '?'}` says that it only reads, but its code can come to: {reached}",
            one.at,
            hint="say what it does: EXECUTE or WRITE, with the risk that goes with it",
        )
    if UseKind.NETWORK in one.reaches and "labels" not in one.unknown and "sends_external" not in one.labels:
        yield _warning(
            "PLUGIN_RISK_UNDERSTATED",
            f"capability `{one.id or '?'}` can reach the network without the label `sends_external`",
            one.at,
            hint='add `labels=["sends_external"]`, so that policy can tell where data may go',
        )


def _about_declaration(manifest: Manifest) -> Iterator[PluginWarning]:
    declaration = manifest.declaration
    if declaration.file is None:
        yield _warning(
            "PLUGIN_UNDECLARED",
            "the plugin declares nothing of itself, so it may do nothing but act on `context.world`",
        )
    if not manifest.capabilities:
        yield _warning("PLUGIN_EMPTY", "no capability was found")
    for service in Reach.of("", declaration.permissions.network).services:
        if service.host == ANY:
            yield _warning(
                "PLUGIN_NETWORK_ANYWHERE",
                f"the plugin asks for `{service}`: every host that `[net]` of the configuration lets through",
                declaration.file,
            )
    used = {use.kind for use in manifest.uses}
    for kind, (_, _, key) in _UNDECLARED.items():
        asked: tuple[str, ...] = getattr(declaration.permissions, key)
        if asked and kind not in used:
            yield _unused(key, asked, declaration.file)
    wanted = {secret.name for secret in manifest.secrets}
    wanted |= {name for one in manifest.capabilities for name in one.secrets}
    unused = tuple(name for name in declaration.permissions.secrets if name not in wanted)
    if unused and None not in wanted:
        yield _unused("secrets", unused, declaration.file)


def _unused(key: str, asked: tuple[str, ...], file: str | None) -> PluginWarning:
    return _warning(
        "PLUGIN_PERMISSION_UNUSED",
        f"the plugin asks for `{key}` ({', '.join(asked)}), but no code that could be read uses it",
        file,
    )
