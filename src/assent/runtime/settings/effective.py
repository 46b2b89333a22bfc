"""What a command works with: workspace, state, policy, identity and limits, each with the place its value comes from.

Precedence, highest first: flag, `ASSENT_*`, `assent.toml` of the workspace, the user's `config.toml`, default. Nothing heavy is
imported here: every command resolves settings, and start-up time is a promise.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from assent.errors import InputError
from assent.runtime._areas import AREAS
from assent.runtime.settings._configuration import (
    LIMITS,
    PLUGINS,
    PROJECT_FILE,
    PROJECT_SCHEMA,
    REMOVED,
    USER_SCHEMA,
    Configuration,
    load_configuration,
    place_of,
)
from assent.runtime.settings._identity import Identities, login_of, own_name
from assent.runtime.settings._places import (
    PLUGIN_LOCK,
    SERVER_LOCK,
    STATE_NAME,
    create_state,
    name_of,
    read_policy_file,
    runtime_folder,
)
from assent.runtime.settings._sandbox import SANDBOX, SandboxSettings, sandbox_settings
from assent.runtime.settings._secrets import (
    VAULT,
    VAULT_TABLE,
    ConfiguredSecret,
    SecretSettings,
    VaultSettings,
    configured_secret,
    require_distinct,
)
from assent.runtime.settings._serve import SERVE, SOCKET_BYTES_MAX, SOCKET_NAME, ServeSettings, serve_settings
from assent.runtime.settings._servers import MCP, servers_of
from assent.runtime.settings._telemetry import TELEMETRY, TelemetrySettings, telemetry_settings
from assent.spec.documents.settings import Named, Setting, Table, fields, listed, tables, unit_of
from assent.spec.documents.settings import path as path_setting
from assent.spec.documents.toml import Key
from assent.spec.ids import LABEL
from assent.spec.principal import Principal

if TYPE_CHECKING:
    from assent.errors import Json
    from assent.plugins.upstream import Server
else:
    Json = Any  # msgspec has no recursive types, and a setting is part of an answer

VARIABLES: Final[Mapping[str, str]] = {
    "workspace": "ASSENT_WORKSPACE",
    "state": "ASSENT_STATE",
    "policy": "ASSENT_POLICY",
    "principal": "ASSENT_PRINCIPAL",
    "environment": "ASSENT_ENVIRONMENT",
    "ledger.key": "ASSENT_LEDGER_KEY",
}
"""The environment variable of each setting that has one."""


_CHOSEN: Final = frozenset({"state", "policy", "ledger.key", "environment", "principal"})
"""Settings that do not change what a process does for another; the policy has a digest of its own."""


def _is_read_anew(name: str) -> bool:
    """Whether a living process takes over a setting of this name."""
    return name == "identity.strict" or name.startswith(("serve.issuers", "serve.rate"))


def _is_of_servers(name: str) -> bool:
    return name.startswith("mcp.")


def _digest(value: Json) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Rate(msgspec.Struct, frozen=True):
    """At most `calls` within `window_ms`, for whom the patterns fit; `per` says who has a count of their own."""

    name: str
    calls: int
    window_ms: int
    capability: str
    principal: str
    per: tuple[Literal["principal", "capability"], ...]


class Limits(msgspec.Struct, frozen=True):
    """Bounds that the workspace sets, each with its unit; None leaves the part's own default."""

    concurrency: int = 8
    concurrency_of_all: int = 256
    runs: int = 1024
    queue: int = 10_000
    step_timeout_ms: int = 2 * 3600 * 1000
    grace_ms: int = 10_000
    foreach_items: int = 10_000
    payload_bytes: int = 64 << 20
    max_pre_image_bytes: int = 64 << 20
    plan_expiry_ms: int = 7 * 24 * 3600 * 1000
    rates: tuple[Rate, ...] = ()


class Effective(msgspec.Struct, frozen=True):
    """One setting as it holds: its name, its value as JSON, and where that comes from (`--state`, `assent.toml:4` …)."""

    name: str
    value: Json
    source: str
    unit: str | None = None
    """What a number counts: `ms` or `bytes`; None where it counts itself."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is configured, resolved once at the door. Paths are absolute; nothing has been created."""

    workspace: Path
    state: Path
    policy_path: Path | None
    key_path: Path
    configuration_homes: tuple[Path, ...]
    """The user's own configuration, for every process of theirs, whatever its environment says."""
    config_path: Path | None
    environment: str | None
    principal: Principal
    asserted: bool
    os_uid: int
    identities: Identities
    limits: Limits
    app: Mapping[str, Json]
    secrets: SecretSettings
    areas: Mapping[str, Mapping[str, Json]]
    """What holds of each area of capabilities: the keys of its table, checked, with defaults where nobody said anything."""
    plugin_paths: tuple[str, ...]
    required_plugins: frozenset[str]
    servers: Mapping[str, Server]
    """MCP servers of others, by name."""
    sandbox: SandboxSettings
    """Where nothing confines programs, they run all the same."""
    serve: ServeSettings
    telemetry: TelemetrySettings
    effective: tuple[Effective, ...]
    runtime_home: Path | None
    temporary_home: Path

    @classmethod
    def resolve(
        cls,
        *,
        workspace: Path | None = None,
        state: Path | None = None,
        policy: Path | None = None,
        principal: str | None = None,
        environ: Mapping[str, str],
        cwd: Path,
    ) -> Self:
        """The settings of a command that was given these flags, in this environment and folder.

        Raises `InputError` CONFIG_INVALID (file, line, suggestion), WORKSPACE_MISSING, SPEC_INVALID for a text that is no
        principal, and `RefusedError` IDENTITY_REFUSED. The policy file is not opened here.
        """
        home = _home(environ)
        root, config, source = _find_workspace(workspace, environ, cwd, home)
        user_file = _configuration_home(environ, home) / "config.toml"
        layers = _Layers(environ, cwd, home, config, load_configuration(user_file, USER_SCHEMA, home))
        layers.note("workspace", str(root), source)

        state_path = layers.path("state", state, "--state", ("workspace", "state"), root / STATE_NAME)
        policy_path = layers.optional_path("policy", policy, "--policy", ("policy",))
        default_key = _configuration_home(environ, home) / "keys" / name_of(state_path)
        key_path = layers.path("ledger.key", None, "", ("ledger", "key"), default_key)
        environment = layers.text("environment", ("workspace", "environment"))

        os_uid = os.getuid()
        identities = _identities(config)
        layers.note("identity.strict", identities.strict, layers.source_of(("identity", "strict")))
        name, asserted = layers.principal(principal, identities, os_uid)
        who = identities.principal_of(name, asserted=asserted, os_uid=os_uid)
        limits = layers.limits()
        app = _application(config)
        if app:
            # Its keys and not its values: what an application is told may be more than `doctor` should show.
            layers.note("app", [*app], layers.source_of(("app",)))
        plugins = layers.table(("plugins",), PLUGINS)
        return cls(
            workspace=root,
            state=state_path,
            policy_path=policy_path,
            key_path=key_path,
            configuration_homes=_each(_configuration_home(environ, home), _configuration_home({}, home)),
            config_path=None if config is None else config.path,
            environment=environment,
            principal=who,
            asserted=asserted,
            os_uid=os_uid,
            identities=identities,
            limits=limits,
            app=app,
            secrets=layers.secrets(),
            areas={name: layers.table((name,), area.SECTION) for name, area in AREAS.items()},
            plugin_paths=listed(plugins, "paths"),
            required_plugins=frozenset(listed(plugins, "required")),
            servers=servers_of(layers.table(("mcp",), MCP), root),
            sandbox=sandbox_settings(layers.table(("sandbox",), SANDBOX)),
            serve=serve_settings(layers.table(("serve",), SERVE)),
            telemetry=telemetry_settings(layers.table(("telemetry",), TELEMETRY)),
            effective=tuple(layers.noted),
            runtime_home=_folder(environ, "XDG_RUNTIME_DIR"),
            temporary_home=_folder(environ, "TMPDIR") or Path("/tmp"),  # noqa: S108 - owner and mode are checked on use
        )

    def digests(self) -> dict[str, str]:
        """Names `roles`, who is who and may what, and `settings`, everything else that governs a run here.

        What each command chooses for itself (who acts, in which environment) is in neither, and nor is where things are kept.
        """
        settings: Json = {one.name: one.value for one in self.effective if one.name not in _CHOSEN}
        return {"roles": _digest(self._who_is_who), "settings": _digest(settings)}

    def in_force(self) -> dict[str, str]:
        """Digests of what a living process works by, apart by what has it read anew: `identity`, `serve` and `mcp` are on a
        signal, `settings`, all the rest, only where it starts anew. What `[app]` says may be secret, so no digest of it is told.
        """
        told = [one for one in self.effective if one.name not in _CHOSEN and one.name != "app"]
        servers: Json = {one.name: one.value for one in told if _is_of_servers(one.name)}
        rest: Json = {
            one.name: one.value
            for one in told
            if not _is_read_anew(one.name) and not _is_of_servers(one.name)
        }
        serve: Json = msgspec.to_builtins({"issuers": self.serve.issuers, "rates": self.serve.rates})
        return {
            "identity": _digest({**self._who_is_who, "certificates": self._certificates}),
            "serve": _digest(serve),
            "mcp": _digest(servers),
            "settings": _digest(rest),
        }

    @property
    def _certificates(self) -> Json:
        known = self.identities.certificates
        return {subject: [name, *sorted(scopes)] for subject, (name, scopes) in known.items()}

    def adopt(self, now: Self) -> None:
        """Put into force what may change while a process lives, as it was read anew: who is who and in which roles, whose
        tokens count, and how often may be asked. Everything else holds from the next start on.

        `InputError` CONFIG_INVALID where the file that this came from is gone: nobody has written that nothing is configured.
        """
        if now.config_path is None and self.config_path is not None:
            raise _gone(self.config_path)
        kept = [one for one in self.effective if not _is_read_anew(one.name)]
        changed = [one for one in now.effective if _is_read_anew(one.name)]
        own = str(self.principal)
        # All parts of a process hold these very settings, so that none can go on with others.
        for name, value in {
            "identities": now.identities,
            "principal": Principal.parse(own, roles=now.roles.get(own, frozenset())),
            "serve": msgspec.structs.replace(self.serve, issuers=now.serve.issuers, rates=now.serve.rates),
            "effective": (*kept, *changed),
        }.items():
            msgspec.structs.force_setattr(self, name, value)

    @property
    def _who_is_who(self) -> dict[str, Json]:
        identities = self.identities
        return {
            "strict": identities.strict,
            "roles": {name: [*sorted(roles)] for name, roles in identities.roles.items()},
            "uids": dict(identities.uids),
        }

    def circumstances(self) -> dict[str, Json]:
        """What the ledger keeps beside a policy: who is who and in which roles, and the limits and net rules, by their names."""
        said = {one.name: one.value for one in self.effective if one.name.startswith(("limits.", "net."))}
        return {**self._who_is_who, "settings": said}

    @property
    def roles(self) -> Mapping[str, frozenset[str]]:
        """The roles of every configured principal, keyed by `type:id`."""
        return self.identities.roles

    @property
    def hidden_files(self) -> tuple[Path, ...]:
        """What no capability, archive or program may read, a folder with all it holds; none of it need exist."""
        vault, homes = self.secrets.vault, self.configuration_homes
        phrase = self.areas["knowledge"]["passphrase_file"]
        return _each(
            self.state,
            self.key_path,
            self.knowledge_keys,
            Path(str(phrase)) if phrase is not None else None,
            *(home / name for home in homes for name in ("keys", "secrets")),
            *(path for secret in self.secrets.secrets.values() for path in secret.files),
            vault.token_file,
        )

    @property
    def knowledge_keys(self) -> Path:
        """The folder of the keys of what is indexed: beside the one that signs the ledger, and not in the state."""
        return self.key_path.with_name(f"{self.key_path.name}.knowledge")

    def is_hidden(self, file: os.stat_result) -> bool:
        """Whether an open file is one of these, under whatever name."""
        from assent.capabilities.fs.world._control import ControlFiles, Zone

        known, identity = ControlFiles(hidden=self.hidden_files), (file.st_dev, file.st_ino)
        return known.look().zone_of(identity) is Zone.HIDDEN or identity in known.inner_identities()

    @property
    def control_files(self) -> tuple[Path, ...]:
        """What they may read and not change."""
        bundle, scan = self.areas["net"]["ca_bundle"], self.areas["scan"]
        routes = self.areas["knowledge"]["routes"]
        return _each(
            self.workspace / PROJECT_FILE,
            self.config_path,
            self.policy_path,
            self.plugin_lock,
            self.server_lock,
            *self.configuration_homes,
            self.secrets.vault.ca_file,
            Path(str(bundle)) if bundle is not None else None,
            Path(str(routes)) if routes is not None else None,
            Path(str(scan["tools"])) if scan["tools"] is not None else None,
            self.parsers,
            *(self.workspace / Path(one).expanduser() for one in listed(scan, "paths")),
            *(path for server in self.servers.values() for path in server.program_in(self.workspace)),
        )

    @property
    def parsers(self) -> Path | None:
        """The folder with manifests of tools that `[findings]` names."""
        folder = self.areas["findings"]["tools"]
        return None if folder is None else self.workspace / str(folder)

    @property
    def plugin_lock(self) -> Path:
        """The file that says which plugins are trusted; it need not exist."""
        return self.workspace / PLUGIN_LOCK

    @property
    def server_lock(self) -> Path:
        """The file that says which tools of MCP servers are trusted; it need not exist."""
        return self.workspace / SERVER_LOCK

    def principal_of(self, text: str, *, asserted: bool, os_uid: int) -> Principal:
        """The principal that a process of `os_uid` acts as, with its roles; IDENTITY_REFUSED, SPEC_INVALID."""
        return self.identities.principal_of(text, asserted=asserted, os_uid=os_uid)

    def policy_bytes(self) -> bytes | None:
        """The configured policy file, or None where the built-in policy holds.

        Raises `InputError` POLICY_MISSING, POLICY_PERMISSIONS or POLICY_INVALID.
        """
        return None if self.policy_path is None else read_policy_file(self.policy_path)

    def read_app(self) -> Mapping[str, Json]:
        """The `[app]` table as it stands in the file now; `InputError` CONFIG_INVALID, as of `adopt` too."""
        if self.config_path is None:
            return _application(None)
        found = load_configuration(self.config_path, PROJECT_SCHEMA)
        if found is None:
            raise _gone(self.config_path)
        return _application(found)

    def adopt_servers(self) -> None:
        """Put `[mcp]` into force as it stands in the file now, which may be new; CONFIG_INVALID as of `adopt`."""
        path = self.config_path or self.workspace / PROJECT_FILE
        config = load_configuration(path, PROJECT_SCHEMA)
        if config is None and self.config_path is not None:
            raise _gone(self.config_path)
        layers = _Layers({}, self.workspace, self.workspace, config, None)
        servers = servers_of(layers.table(("mcp",), MCP), self.workspace)
        kept = [one for one in self.effective if not _is_of_servers(one.name)]
        for name, value in {
            "config_path": None if config is None else path,
            "servers": servers,
            "effective": (*kept, *layers.noted),
        }.items():
            msgspec.structs.force_setattr(self, name, value)

    def create_state(self) -> None:
        """Make the state directory (0700, with its own ignore file); STATE_PERMISSIONS, STATE_UNUSABLE."""
        create_state(self.state)

    def runtime_dir(self) -> Path:
        """The short private folder, made here, in which owners of state directories listen.

        Raises `InputError` RUNTIME_DIR_UNSAFE when that folder is not this user's alone.
        """
        return runtime_folder(self.runtime_home, self.temporary_home, self.os_uid)

    def api_socket(self) -> str:
        """Where `assent serve` listens: what `[serve]` says, else in the state directory, where that is short enough."""
        path = self.serve.socket or str(self.state / SOCKET_NAME)
        if len(os.fsencode(path)) > SOCKET_BYTES_MAX:
            return str(self.runtime_dir() / f"{name_of(self.state)[-16:]}.api.sock")
        return path


class _Layers:
    """The sources of values, asked in their order; what is taken is noted with its source."""

    def __init__(
        self,
        environ: Mapping[str, str],
        cwd: Path,
        home: Path,
        project: Configuration | None,
        user: Configuration | None,
    ) -> None:
        self.noted: list[Effective] = []
        self._environ = environ
        self._cwd = cwd
        self._home = home
        self._files = [file for file in (project, user) if file is not None]
        for file in self._files:
            for key in REMOVED & file.values.keys():
                import logging  # two milliseconds, for who has such a file

                logging.getLogger("assent.settings").warning(
                    "%s: `%s` does nothing any more and will be refused by a later version: take it out",
                    file.place(key),
                    ".".join(key),
                )

    def note(self, name: str, value: Json, source: str) -> None:
        self.noted.append(Effective(name, value, source, unit_of(tuple(name.split(".")), PROJECT_SCHEMA)))

    def configured(self, key: Key) -> tuple[Json, Configuration] | None:
        return next(((file.values[key], file) for file in self._files if key in file.values), None)

    def source_of(self, key: Key) -> str:
        found = self.configured(key)
        return found[1].place(key) if found else "default"

    def variable(self, name: str) -> tuple[str, str] | None:
        variable = VARIABLES[name]
        value = self._environ.get(variable)
        return (value, variable) if value else None

    def optional_path(self, name: str, flag: Path | None, flag_name: str, key: Key) -> Path | None:
        path, source = self._path(name, flag, flag_name, key)
        self.note(name, None if path is None else str(path), source)
        return path

    def path(self, name: str, flag: Path | None, flag_name: str, key: Key, default: Path) -> Path:
        path, source = self._path(name, flag, flag_name, key)
        self.note(name, str(path or default), source)
        return path or default

    def _path(self, name: str, flag: Path | None, flag_name: str, key: Key) -> tuple[Path | None, str]:
        if flag is not None:
            return _absolute(flag, self._cwd), flag_name
        variable = self.variable(name)
        if variable is not None:
            return _absolute(Path(variable[0]), self._cwd), variable[1]
        found = self.configured(key)
        if found is not None:
            return place_of(str(found[0]), found[1].path.parent, self._home), found[1].place(key)
        return None, "default"

    def text(self, name: str, key: Key) -> str | None:
        variable = self.variable(name)
        found = self.configured(key)
        value: str | None = None
        source = "default"
        if variable is not None:
            value, source = variable
            if not LABEL.match(value):
                raise InputError(
                    "CONFIG_INVALID", f"`{value[:80]}` is not a name of an environment", path=source
                )
        elif found is not None:
            value, source = str(found[0]), found[1].place(key)
        self.note(name, value, source)
        return value

    def table(self, at: Key, table: Table) -> dict[str, Json]:
        """What holds of a table, each value noted that somebody said or that is always shown. Paths are absolute."""
        found: dict[str, Json] = {}
        for name, one in table.items():
            key = (*at, name)
            if isinstance(one, Setting):
                found[name] = self._setting(key, one)
            elif isinstance(one, Named):
                found[name] = self._named(key, one)
            else:
                found[name] = self.table(key, one)
        return found

    def _setting(self, key: Key, setting: Setting) -> Json:
        configured = self.configured(key)
        value = setting.default
        if configured is not None:
            value, file = configured
            if setting.read is path_setting:
                value = str(place_of(str(value), file.path.parent, self._home))
        if configured is not None or setting.is_always_shown:
            self.note(".".join(key), value, self.source_of(key))
        return value

    def _named(self, at: Key, table: Named) -> dict[str, Json]:
        """The tables that users named; where two files name the same one, the nearer file's holds alone."""
        found: dict[str, Json] = {}
        for file in self._files:
            for name in file.names(*at):
                if name not in found and name not in table.reserved:
                    key = (*at, name)
                    said = {rest[-1]: value for rest, value in file.values.items() if rest[:-1] == key}
                    found[name] = said
                    self.note(".".join(key), table.shown(said), file.place(key))
        if not found and table.unless is not None:
            self.note(".".join(at), table.unless, "default")
        return found

    def principal(self, flag: str | None, identities: Identities, os_uid: int) -> tuple[str, bool]:
        variable = self.variable("principal")
        if flag is not None:
            name, source = flag, "--as"
        elif variable is not None:
            name, source = variable
        else:
            name, source = own_name(os_uid), f"user id {os_uid}"
        self.note("principal", name, source)
        # A login that assent.toml maps to another user id is no more than a name here.
        return name, not identities.is_proven(name, os_uid)

    def limits(self) -> Limits:
        said = self.table(("limits",), LIMITS)
        rates = [_rate(name, one) for name, one in tables(said, "rate").items()]
        return Limits(**fields(said, LIMITS), rates=tuple(rates))

    def secrets(self) -> SecretSettings:
        """The secrets of all files; where two name the same one, the nearer file's table holds alone."""
        table = ("secrets",)
        found: dict[str, ConfiguredSecret] = {}
        for file in self._files:

            def absolute(written: str, folder: Path = file.path.parent) -> Path:
                return place_of(written, folder, self._home)

            for name in file.names(*table):
                if name in found or name == VAULT_TABLE:
                    continue
                said = {key[2]: value for key, value in file.values.items() if key[:2] == ("secrets", name)}
                found[name] = one = configured_secret(name, said, file.place((*table, name)), absolute)
                self.note(f"secrets.{name}", {"from": str(one.source or "env"), **said}, one.place)
        require_distinct(found)
        vault = self.table(("secrets", VAULT_TABLE), VAULT)
        return SecretSettings(found, VaultSettings(**fields(vault, VAULT)))


def _find_workspace(
    flag: Path | None, environ: Mapping[str, str], cwd: Path, home: Path
) -> tuple[Path, Configuration | None, str]:
    """The workspace, its configuration, and where it was named: a folder that is named is not searched upwards."""
    variable = environ.get(VARIABLES["workspace"])
    named = flag if flag is not None else Path(variable) if variable else None
    if named is not None:
        source = "--workspace" if flag is not None else VARIABLES["workspace"]
        root = _absolute(named, cwd)
        if not root.is_dir():
            raise InputError(
                "WORKSPACE_MISSING",
                f"`{named}` is not a folder",
                path=source,
                hint="create it, or name another",
            )
        return root, load_configuration(root / PROJECT_FILE, PROJECT_SCHEMA, home), source
    for folder in (cwd, *cwd.parents):
        config = load_configuration(folder / PROJECT_FILE, PROJECT_SCHEMA, home)
        if config is not None:
            return folder, config, str(config.path)
    return cwd, None, "current folder"


def _identities(config: Configuration | None) -> Identities:
    if config is None:
        return Identities()
    roles: dict[str, frozenset[str]] = {}
    uids: dict[str, int] = {}
    certificates: dict[str, tuple[str, frozenset[str]]] = {}
    for kind in ("user", "agent", "service"):
        table = ("identity", f"{kind}s")
        for name in config.names(*table):
            known = config.values.get((*table, name, "roles"))
            uid = config.values.get((*table, name, "uid"))
            roles[f"{kind}:{name}"] = frozenset(map(str, known)) if isinstance(known, list) else frozenset()
            if isinstance(uid, int):
                uids[f"{kind}:{name}"] = uid
            subject = config.values.get(key := (*table, name, "certificate"))
            if isinstance(subject, str):
                if subject in certificates:
                    raise InputError(
                        "CONFIG_INVALID",
                        f"two principals have the certificate `{subject}`",
                        path=config.place(key),
                    )
                scopes = config.values.get((*table, name, "scopes"))
                certificates[subject] = (
                    f"{kind}:{name}",
                    frozenset(map(str, scopes if isinstance(scopes, list) else ())),
                )
    return Identities(
        strict=config.values.get(("identity", "strict")) is True,
        roles=roles,
        uids=uids,
        certificates=certificates,
    )


def _rate(name: str, said: Mapping[str, Any]) -> Rate:  # `Any`: the table has read each as its field is
    rest = {key: said[key] for key in ("calls", "capability", "principal")}
    return Rate(name=name, window_ms=said["window"], per=tuple(said["per"]), **rest)


def _gone(path: Path) -> InputError:
    return InputError(
        "CONFIG_INVALID",
        "the configuration is not there any more",
        path=str(path),
        hint="put it back, empty if nothing is to be configured",
    )


def _application(config: Configuration | None) -> Mapping[str, Json]:
    found = config.values.get(("app",)) if config is not None else None
    return found if isinstance(found, dict) else {}


def _home(environ: Mapping[str, str]) -> Path:
    named = _folder(environ, "HOME")
    if named is not None:
        return named
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("/")


def _configuration_home(environ: Mapping[str, str], home: Path) -> Path:
    return (_folder(environ, "XDG_CONFIG_HOME") or home / ".config") / "assent"


def _each(*paths: Path | None) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(path for path in paths if path is not None))


def _folder(environ: Mapping[str, str], variable: str) -> Path | None:
    """The folder that a variable names; a relative one is ignored, as the XDG specification asks."""
    value = environ.get(variable, "")
    return Path(value) if value.startswith("/") else None


def _absolute(path: Path, base: Path) -> Path:
    # Not `resolve()`: a link in the path is the user's choice, and errors shall show the path that was written.
    return Path(os.path.abspath(base / path))  # noqa: PTH100 - as above


__all__ = [
    "PROJECT_FILE",
    "STATE_NAME",
    "VARIABLES",
    "Effective",
    "Identities",
    "Limits",
    "Rate",
    "Settings",
    "create_state",
    "login_of",
    "own_name",
]
