"""What a command works with: workspace, state, policy, identity and limits, each with the place its value comes from.

Precedence, highest first: flag, `ASSENT_*`, `assent.toml` of the workspace, the user's `config.toml`, default. Nothing heavy is
imported here: every command resolves settings, and start-up time is a promise.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from assent.errors import InputError, Json
from assent.runtime._configuration import (
    PROJECT_FILE,
    PROJECT_SCHEMA,
    USER_SCHEMA,
    VAULT,
    Configuration,
    load_configuration,
    place_of,
    unit_of,
)
from assent.runtime._git_settings import GIT, GitSettings
from assent.runtime._identity import Identities, login_of, own_name
from assent.runtime._info_settings import HARMLESS
from assent.runtime._net_settings import LIMITS as NET_LIMITS
from assent.runtime._net_settings import NetSettings
from assent.runtime._notify_settings import GRACE_MS, NotifySettings
from assent.runtime._notify_settings import shown as shown_endpoint
from assent.runtime._places import (
    PLUGIN_LOCK,
    STATE_NAME,
    create_state,
    name_of,
    read_policy_file,
    runtime_folder,
)
from assent.runtime._sandbox_settings import DURATIONS as SANDBOX_DURATIONS
from assent.runtime._sandbox_settings import NUMBERS as SANDBOX_NUMBERS
from assent.runtime._sandbox_settings import SandboxSettings, sandbox_settings
from assent.runtime._secret_settings import (
    VAULT_TABLE,
    ConfiguredSecret,
    SecretSettings,
    VaultSettings,
    configured_secret,
    require_distinct,
)
from assent.spec.ids import LABEL
from assent.spec.principal import Principal
from assent.spec.toml import Key

VARIABLES: Final[Mapping[str, str]] = {
    "workspace": "ASSENT_WORKSPACE",
    "state": "ASSENT_STATE",
    "policy": "ASSENT_POLICY",
    "principal": "ASSENT_PRINCIPAL",
    "environment": "ASSENT_ENVIRONMENT",
    "ledger.key": "ASSENT_LEDGER_KEY",
}
"""The environment variable of each setting that has one."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` within `window_ms`, for whom the patterns fit; `per` says who has a count of their own."""

    name: str
    calls: int
    window_ms: int
    capability: str
    principal: str
    per: tuple[Literal["principal", "capability"], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that the workspace sets, each with its unit; None leaves the part's own default."""

    concurrency: int = 8
    step_timeout_ms: int | None = None
    grace_ms: int = 10_000
    foreach_items: int = 10_000
    payload_bytes: int = 64 << 20
    max_pre_image_bytes: int = 64 << 20
    version_idle_ms: int = 15 * 60 * 1000
    version_window_ms: int = 10 * 60 * 1000
    version_calls_min: int = 10
    version_degraded_percent: int = 5
    version_failed_percent: int = 20
    plan_expiry_ms: int = 7 * 24 * 3600 * 1000
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it holds: its name, its value as JSON, and where that comes from (`--state`, `assent.toml:4` …)."""

    name: str
    value: Json
    source: str
    unit: str | None = None
    """What a number counts: `ms` or `bytes`; None where it counts itself."""

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {"name": self.name, "value": self.value, "source": self.source, "unit": self.unit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is configured, resolved once at the door. Paths are absolute; nothing has been created."""

    workspace: Path
    state: Path
    policy_path: Path | None
    key_path: Path
    config_path: Path | None
    environment: str | None
    principal: Principal
    asserted: bool
    os_uid: int
    identities: Identities
    limits: Limits
    app: Mapping[str, Json]
    secrets: SecretSettings
    net: NetSettings
    notify: NotifySettings
    programs: Mapping[str, Mapping[str, Json]]
    """The tables of `[exec.rules]`, by name."""
    git: GitSettings
    told_variables: tuple[str, ...]
    plugin_paths: tuple[str, ...]
    required_plugins: frozenset[str]
    sandbox: SandboxSettings
    """Where nothing confines programs, they run all the same."""
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
        plugin_paths, required_plugins = (
            layers.names(("plugins", "paths")),
            layers.names(("plugins", "required")),
        )
        return cls(
            workspace=root,
            state=state_path,
            policy_path=policy_path,
            key_path=key_path,
            config_path=None if config is None else config.path,
            environment=environment,
            principal=who,
            asserted=asserted,
            os_uid=os_uid,
            identities=identities,
            limits=limits,
            app=app,
            secrets=layers.secrets(),
            net=layers.net(),
            notify=layers.notify(),
            programs=layers.rules("exec"),
            git=layers.git(),
            told_variables=layers.names(("info", "env"), HARMLESS),
            plugin_paths=plugin_paths,
            required_plugins=frozenset(required_plugins),
            sandbox=layers.sandbox(),
            effective=tuple(layers.noted),
            runtime_home=_folder(environ, "XDG_RUNTIME_DIR"),
            temporary_home=_folder(environ, "TMPDIR") or Path("/tmp"),  # noqa: S108 - owner and mode are checked on use
        )

    @property
    def roles(self) -> Mapping[str, frozenset[str]]:
        """The roles of every configured principal, keyed by `type:id`."""
        return self.identities.roles

    @property
    def control_files(self) -> tuple[Path, ...]:
        """Files that no capability may change, whether they exist yet or not: configuration, policy, signing key, plugin lock."""
        configured = (self.config_path, self.policy_path, self.key_path)
        named = (self.workspace / PROJECT_FILE, self.plugin_lock, *configured)
        return tuple(dict.fromkeys(path for path in named if path is not None))

    @property
    def plugin_lock(self) -> Path:
        """The file that says which plugins are trusted; it need not exist."""
        return self.workspace / PLUGIN_LOCK

    def principal_of(self, text: str, *, asserted: bool, os_uid: int) -> Principal:
        """The principal that a process of `os_uid` acts as, with its roles; IDENTITY_REFUSED, SPEC_INVALID."""
        return self.identities.principal_of(text, asserted=asserted, os_uid=os_uid)

    def policy_bytes(self) -> bytes | None:
        """The configured policy file, or None where the built-in policy holds.

        Raises `InputError` POLICY_MISSING, POLICY_PERMISSIONS or POLICY_INVALID.
        """
        return None if self.policy_path is None else read_policy_file(self.policy_path)

    def read_app(self) -> Mapping[str, Json]:
        """The `[app]` table as it stands in the file now; `InputError` CONFIG_INVALID."""
        return _application(
            None if self.config_path is None else load_configuration(self.config_path, PROJECT_SCHEMA)
        )

    def create_state(self) -> None:
        """Make the state directory (0700, with its own ignore file); STATE_PERMISSIONS, STATE_UNUSABLE."""
        create_state(self.state)

    def runtime_dir(self) -> Path:
        """The short private folder, made here, in which owners of state directories listen.

        Raises `InputError` RUNTIME_DIR_UNSAFE when that folder is not this user's alone.
        """
        return runtime_folder(self.runtime_home, self.temporary_home, self.os_uid)


# -- layers ------------------------------------------------------------------------------------------------------------


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

    def note(self, name: str, value: Json, source: str) -> None:
        self.noted.append(Effective(name, value, source, unit_of(tuple(name.split(".")))))

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
                    "CONFIG_INVALID", f"`{value[:80]}` is no name of an environment", path=source
                )
        elif found is not None:
            value, source = str(found[0]), found[1].place(key)
        self.note(name, value, source)
        return value

    def names(self, key: Key, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts."""
        found = self.configured(key)
        value: Json = found[0] if found else [*default]
        assert isinstance(value, list), "the schema reads a list"
        self.note(".".join(key), value, self.source_of(key))
        return tuple(map(str, value))

    def flag(self, key: Key) -> bool:
        """A switch, off when it is not configured."""
        found = self.configured(key)
        is_on = found is not None and found[0] is True
        self.note(".".join(key), is_on, self.source_of(key))
        return is_on

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
        default = Limits()
        found: dict[str, int | None] = {}
        for field, name in _LIMITS.items():
            key = ("limits", name)
            configured = self.configured(key)
            value = configured[0] if configured else getattr(default, field)
            assert value is None or isinstance(value, int), "the schema reads limits as whole numbers"
            found[field] = value
            self.note(f"limits.{name}", value, self.source_of(key))
        self._require_order("version_degraded_percent", "version_failed_percent", found)
        numbers = Limits(**found)  # type: ignore[arg-type]  # only `step_timeout_ms` may be None, and only it has that default
        return replace(numbers, rates=self._rates())

    def _require_order(self, lower: str, upper: str, found: Mapping[str, int | None]) -> None:
        """A version that is still only degraded when it has failed already would never be told apart."""
        below, above = found[lower], found[upper]
        if below is not None and above is not None and below > above:
            written = next(key for key in (upper, lower) if self.configured(("limits", key)))
            raise InputError(
                "CONFIG_INVALID",
                f"`{lower}` is {below}, more than `{upper}`, which is {above}",
                path=self.source_of(("limits", written)),
                hint=f"a version is degraded before it has failed: lower `{lower}`, or raise `{upper}`",
            )

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
        return SecretSettings(found, self._vault())

    def _vault(self) -> VaultSettings:
        """How a Vault server is reached; paths are relative to the file that names them."""
        said: dict[str, str | Path] = {}
        for name in VAULT:
            one = self.configured(("secrets", VAULT_TABLE, name))
            if one is not None:
                text, file = str(one[0]), one[1]
                said[name] = place_of(text, file.path.parent, self._home) if name.endswith("_file") else text
                self.note(
                    f"secrets.vault.{name}", str(said[name]), file.place(("secrets", VAULT_TABLE, name))
                )
        return VaultSettings(**said)  # type: ignore[arg-type]  # only the names that end in `_file` are paths

    def sandbox(self) -> SandboxSettings:
        """What the workspace says of confined programs."""
        said: dict[str, Json] = {}
        for name in ("backend", *SANDBOX_DURATIONS, *SANDBOX_NUMBERS):
            found = self.configured(("sandbox", name))
            if found is not None:
                said[name] = found[0]
                self.note(f"sandbox.{name}", found[0], found[1].place(("sandbox", name)))
        return sandbox_settings(unconfined=self.flag(("sandbox", "unconfined")), said=said)

    def net(self) -> NetSettings:
        """What the workspace says of requests: its limits, and its rules in the order of the file."""
        limits: dict[str, int] = {}
        for name, field in NET_LIMITS.items():
            found = self.configured(("net", name))
            if found is not None and isinstance(found[0], int):
                limits[field] = found[0]
                self.note(f"net.{name}", found[0], found[1].place(("net", name)))
        bundle = self.configured(("net", "ca_bundle"))
        ca_bundle = None if bundle is None else place_of(str(bundle[0]), bundle[1].path.parent, self._home)
        if bundle is not None:
            self.note("net.ca_bundle", str(ca_bundle), bundle[1].place(("net", "ca_bundle")))
        rules = self.rules("net")
        if not rules:
            self.note("net.rules", "public hosts at ports 80 and 443", "default")
        return NetSettings(limits, ca_bundle, rules)

    def notify(self) -> NotifySettings:
        """What the workspace says of webhooks."""
        grace = self.configured(("notify", "grace"))
        if grace is not None:
            self.note("notify.grace", grace[0], grace[1].place(("notify", "grace")))
        endpoints = self._named("notify", "endpoints", shown_endpoint)
        return NotifySettings(grace[0] if grace and isinstance(grace[0], int) else GRACE_MS, endpoints)

    def rules(self, table: str) -> Mapping[str, Mapping[str, Json]]:
        """The tables of `[TABLE.rules]`, by name, in the order of the file."""
        return self._named(table, "rules", dict)

    def _named(
        self, table: str, kind: str, shown: Callable[[Mapping[str, Json]], dict[str, Json]]
    ) -> Mapping[str, Mapping[str, Json]]:
        found: dict[str, Mapping[str, Json]] = {}
        for file in self._files:
            for name in file.names(table, kind):
                place = (table, kind, name)
                found[name] = said = {key[3]: value for key, value in file.values.items() if key[:3] == place}
                self.note(f"{table}.{kind}.{name}", shown(said), file.place(place))
        return found

    def git(self) -> GitSettings:
        """Who commits where a call does not say it."""
        said: dict[str, str] = {}
        for name in GIT:
            found = self.configured(("git", name))
            if found is not None:
                said[name] = str(found[0])
            self.note(f"git.{name}", found and found[0], self.source_of(("git", name)))
        return GitSettings(**said)

    def _rates(self) -> tuple[Rate, ...]:
        """The rate limits of all files; where two have the same name, the nearer file's."""
        table = ("limits", "rate")
        rates: dict[str, Rate] = {}
        for file in self._files:
            for name in file.names(*table):
                if name in rates:
                    continue
                found: Any = {key: file.values[(*table, name, key)] for key in _RATE}
                window, per = found.pop("window"), tuple(found.pop("per"))
                rates[name] = Rate(name=name, window_ms=window, per=per, **found)
                shown = {**found, "window_ms": window, "per": [*per]}
                self.note(f"limits.rate.{name}", shown, file.place((*table, name)))
        return tuple(rates.values())


_RATE: Final = ("calls", "window", "capability", "principal", "per")
_LIMITS: Final[Mapping[str, str]] = {
    "concurrency": "concurrency",
    "step_timeout_ms": "step_timeout",
    "grace_ms": "grace",
    "foreach_items": "foreach_items",
    "payload_bytes": "payload_bytes",
    "max_pre_image_bytes": "max_pre_image_bytes",
    "version_idle_ms": "version_idle",
    "version_window_ms": "version_window",
    "version_calls_min": "version_calls_min",
    "version_degraded_percent": "version_degraded_percent",
    "version_failed_percent": "version_failed_percent",
    "plan_expiry_ms": "plan_expiry",
}


# -- places ------------------------------------------------------------------------------------------------------------


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
                "WORKSPACE_MISSING", f"`{named}` is no folder", path=source, hint="create it, or name another"
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
    for kind in ("user", "agent", "service"):
        table = ("identity", f"{kind}s")
        for name in config.names(*table):
            listed = config.values.get((*table, name, "roles"))
            uid = config.values.get((*table, name, "uid"))
            roles[f"{kind}:{name}"] = frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()
            if isinstance(uid, int):
                uids[f"{kind}:{name}"] = uid
    return Identities(strict=config.values.get(("identity", "strict")) is True, roles=roles, uids=uids)


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
