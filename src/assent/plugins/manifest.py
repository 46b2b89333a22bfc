"""The manifest: what a plugin is, what it can do and what it wants, found by reading its code and never by running it.

One document, version 1, whose JSON Schema is published as `docs/schemas/manifest-1.json`. It holds facts only: paths are relative
to what was read, everything is sorted, and nothing in it depends on the machine, the time or what is installed. So the same bytes
give the same manifest everywhere, and its fingerprint is compared byte for byte. Judgements about the facts are warnings and
stand beside it (`assent.plugins.warnings_of`).

What cannot be known without running the code is said to be unknown: the field is null and its name stands in `unknown`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import Meta

from assent.errors import InputError, Json
from assent.spec.ids import Fingerprint
from assent.spec.values.canonical import canonical_json, fingerprint, parse_json
from assent.spec.values.typed import convert

MANIFEST_VERSION: Final = 1
SCANNER_REVISION: Final = 2
"""Goes up when the same bytes give another manifest than before, so that a changed fingerprint can be told from changed code."""

HTTP: Final = "context.http"
"""The name of a use that goes through Assent, which holds it to what was declared."""

SCHEMA_ID: Final = "urn:assent:manifest:1"

Place: TypeAlias = Annotated[
    str, Meta(description="where it stands: `FILE:LINE`, the file relative to the source's root")
]
Digest: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 in lower-case hex")]
Count: TypeAlias = Annotated[int, Meta(ge=0)]


class SourceKind(StrEnum):
    """What was read."""

    FILE = "file"
    FOLDER = "folder"
    PACKAGE = "package"
    WHEEL = "wheel"


class UseKind(StrEnum):
    """What part of the world outside `context.world` a piece of code reaches for."""

    NETWORK = "network"
    PROCESS = "process"
    FILES = "files"
    ENVIRONMENT = "environment"
    DYNAMIC = "dynamic"
    """Code made or found while the program runs: `exec`, `pickle.loads`, an import by a computed name."""
    NATIVE = "native"
    """Machine code, which no reading of Python can see into: `ctypes`, an extension module."""
    PATCH = "patch"
    """An attribute of another package is replaced."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every part of a manifest has in common: it is frozen, and it holds nothing that the schema does not name."""


class Permissions(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plugin asks to be allowed beyond `context.world`; everything that is not asked for is denied.

    `network`: where requests of `context.http` may go (`api.example.com`, `*.example.com`, `POST,DELETE http://HOST:PORT`; GET,
    HEAD, https and its port unless said). `process`: programs. `files`: paths. `secrets` and `environment`: names.
    """

    network: tuple[str, ...] = ()
    process: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


class Declaration(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a plugin says of itself, in `[tool.assent.plugin]` or `assent-plugin.toml`.

    `assent` is the range of versions it works with (`>=0.1,<1`). `entry` is the module, or `module:attribute`, that the loader
    imports; empty when nothing names one. `policy` says in words which rules it needs. `dependencies` are requirements as the
    package states them. `file` is where the declaration stands, null for a plugin that declares nothing.
    """

    name: str
    version: str | None = None
    description: str = ""
    assent: str | None = None
    entry: str = ""
    permissions: Permissions = Permissions()
    policy: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    file: str | None = None


class File(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the source. `native` and `bytecode` can be imported as `python` can, but not read."""

    path: str
    size: Count
    sha256: Digest
    kind: Literal["python", "bytecode", "native", "data"]


class Import(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One imported module. `is_dynamic`: by a call with a constant name, not by an import statement."""

    name: str
    origin: Literal["stdlib", "assent", "own", "third_party"]
    is_dynamic: bool = False
    at: Place


class Use(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One reference to something that reaches the world outside `context.world`.

    `name` is what is reached, by its real name whatever it was imported as (`os.system`). `target` is the host, program, path or
    variable where it can be known. `scope` is the function it stands in; empty for code that runs when the module is imported.
    `is_hidden`: the code goes out of its way not to name it (`getattr(os, "sys" + "tem")`). `is_import_time`: it can happen
    while the plugin is imported, directly or through a function that is called then.
    """

    kind: UseKind
    name: str
    target: str | None = None
    scope: str = ""
    is_hidden: bool = False
    is_import_time: bool = False
    at: Place


class Secret(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One secret that the code asks for; `name` is null when only running would tell which."""

    name: str | None
    scope: str = ""
    at: Place


class ModuleUse(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One module of the application that the code asks for (`app.get(Database)`) or registers."""

    name: str
    is_registered: bool = False
    scope: str = ""
    at: Place


class Field(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of a model, or one parameter.

    `type` is the annotation with aliases resolved and `Optional`, `Union`, `List` … in their modern spelling. `json` are the
    JSON types that it takes, sorted; empty when the type is not among those that can be known by reading. `default` is its
    source text.
    """

    name: str
    type: str
    json: tuple[str, ...] = ()
    required: bool = True
    default: str | None = None
    description: str = ""


class Model(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of the plugin that stands for data. `fields` include those of the bases that the plugin itself defines.

    `is_complete` is false when a base is neither the plugin's own nor one whose fields are known.
    """

    name: str
    bases: tuple[str, ...] = ()
    docstring: str = ""
    fields: tuple[Field, ...] = ()
    is_complete: bool = True
    at: Place


class Hook(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hook. `capability` names the one it belongs to; null for a global hook. `timeout` is in seconds.

    `unknown` names the fields that only running would tell.
    """

    kind: Literal["before", "after", "catch", "finally"]
    level: Literal["global", "capability", "local"]
    id: str | None = None
    capability: str | None = None
    timeout: float | None = None
    retries: int | None = None
    unknown: tuple[str, ...] = ()
    at: Place


class Shape(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a capability takes or gives: its type as text, the JSON types of it, and its fields; null where none are known."""

    type: str
    json: tuple[str, ...] = ()
    fields: tuple[Field, ...] | None = None


class Capability(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One capability as it would be registered: what is stated, and the defaults of the form it is stated in.

    `form` is how it is written. `handler` is the function or class that performs it. `parts` are those of the handler that are
    attached (`execute` among them), sorted. `reaches` are the kinds of use that its parts can come to through the plugin's own
    functions. `unknown` names the fields that only running would tell; they are null or empty here.
    """

    id: str | None
    version: str | None = None
    name: str | None = None
    description: str | None = None
    operation: str | None = None
    risk: str | None = None
    requires_approval: bool | None = None
    reversible: bool | None = None
    scope: str | None = None
    compensation: str | None = None
    """The strategy; null without a compensation."""
    compensated_by: str | None = None
    """The capability that takes the effect back, where it is not the handler's own `compensate`."""
    idempotent: bool | None = None
    timeout: float | None = None
    labels: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    parameters: Shape | None = None
    returns: Shape | None = None
    form: Literal["decorator", "spec", "create_read", "create_write", "create_delete"]
    handler: str | None = None
    parts: tuple[str, ...] = ()
    is_registered: bool = True
    """Whether something in the plugin registers it; the decorator only describes, the loader registers what it finds."""
    reaches: tuple[UseKind, ...] = ()
    docstring: str = ""
    unknown: tuple[str, ...] = ()
    at: Place


class Module(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Python file: its name when imported, what it says of itself, and what it calls while it is imported.

    `runs` are the names of functions called at import, by their real names, without those known to do nothing but define.
    """

    name: str
    path: str
    docstring: str = ""
    imports: tuple[Import, ...] = ()
    runs: tuple[str, ...] = ()


class Manifest(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that could be found out about a plugin without running it."""

    manifest_version: Literal[1] = MANIFEST_VERSION
    scanner: Annotated[int, Meta(ge=1)] = SCANNER_REVISION
    kind: SourceKind
    declaration: Declaration
    files: tuple[File, ...]
    modules: tuple[Module, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    models: tuple[Model, ...] = ()
    hooks: tuple[Hook, ...] = ()
    uses: tuple[Use, ...] = ()
    secrets: tuple[Secret, ...] = ()
    app_modules: tuple[ModuleUse, ...] = ()

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.declaration.name

    @property
    def importable(self) -> tuple[File, ...]:
        """The files that an import could execute, which a lock must pin: everything but data."""
        return tuple(file for file in self.files if file.kind != "data")

    @property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 of the canonical manifest: equal for equal bytes, on every machine."""
        return fingerprint(self.to_json())

    def to_json(self) -> dict[str, Json]:
        """The document as JSON data; every field is there, also where it is at its default."""
        data: dict[str, Json] = msgspec.to_builtins(self)
        return data

    def canonical(self) -> bytes:
        """The document as RFC 8785 bytes, which the fingerprint covers."""
        return canonical_json(self.to_json())

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The manifest that `to_json` wrote; `InputError` MANIFEST_INVALID when it is none."""
        try:
            return convert(data, cls)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at ")
            raise InputError(
                "MANIFEST_INVALID",
                f"not a manifest: {message[:1].lower()}{message[1:]}",
                path=place.strip("`").removeprefix("$").removeprefix(".") or None,
                hint="have it written anew: assent plugin inspect PATH --json",
            ) from None

    @classmethod
    def parse(cls, text: bytes | str) -> Self:
        """The manifest in a JSON text; JSON_INVALID, MANIFEST_INVALID."""
        return cls.from_json(parse_json(text))


class PluginWarning(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place where the code does more than it declares, or more than can be seen."""

    code: str
    message: str
    path: str | None = None
    hint: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The warning as JSON data."""
        data: dict[str, Json] = msgspec.to_builtins(self)
        return data


def manifest_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a manifest document."""
    (_,), definitions = msgspec.json.schema_components([Manifest], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Assent plugin manifest, version 1",
        "$ref": "#/$defs/Manifest",
        "$defs": definitions,
    }
