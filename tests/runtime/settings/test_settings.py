"""What a command works with: where values come from, who acts, and places that are ours alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError, InputError, RefusedError
from assent.runtime.settings.effective import VARIABLES, Settings, create_state, login_of
from assent.spec.documents.toml import locate

UID = os.getuid()
OWN = f"user:{login_of(UID)}"

Resolve = Callable[..., Settings]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def resolve(home: Path, root: Path) -> Resolve:
    """Settings as a command in the project's folder resolves them, with an environment of its own."""

    def call(cwd: Path = root, *, principal: str | None = None, **kwargs: object) -> Settings:
        variables = kwargs.pop("environ", {})
        assert isinstance(variables, dict)
        paths = {name: value for name, value in kwargs.items() if isinstance(value, Path)}
        return Settings.resolve(
            principal=principal,
            environ={"HOME": str(home), **variables},
            cwd=cwd,
            workspace=paths.get("workspace"),
            state=paths.get("state"),
            policy=paths.get("policy"),
        )

    return call


def source_of(settings: Settings, name: str) -> str:
    return next(one.source for one in settings.effective if one.name == name)


def refused(call: Callable[[], object]) -> AssentError:
    with pytest.raises(AssentError) as raised:
        call()
    return raised.value


def test_without_configuration_the_current_folder_is_the_workspace(resolve: Resolve, root: Path) -> None:
    settings = resolve()
    assert settings.workspace == root
    assert settings.state == root / ".assent"
    assert settings.policy_path is None
    assert settings.config_path is None
    assert not settings.state.exists(), "resolving creates nothing"


def test_the_nearest_parent_with_a_configuration_is_the_workspace(resolve: Resolve, root: Path) -> None:
    (root / "assent.toml").write_text("")
    inner = root / "a" / "b"
    inner.mkdir(parents=True)
    assert resolve(inner).workspace == root
    (root / "a" / "assent.toml").write_text('policy = "p.yaml"')
    settings = resolve(inner)
    assert settings.workspace == root / "a"
    assert settings.policy_path == root / "a" / "p.yaml", "a file's paths are relative to the file"


def test_a_named_workspace_is_not_searched_upwards(resolve: Resolve, root: Path) -> None:
    (root / "assent.toml").write_text('policy = "p.yaml"')
    inner = root / "inner"
    inner.mkdir()
    settings = resolve(workspace=inner)
    assert settings.workspace == inner
    assert settings.policy_path is None


def test_a_workspace_that_does_not_exist_is_refused(resolve: Resolve, root: Path) -> None:
    assert refused(lambda: resolve(workspace=root / "none")).code == "WORKSPACE_MISSING"


def test_flag_beats_variable_beats_project_beats_user_beats_default(
    resolve: Resolve, root: Path, home: Path
) -> None:
    """Precedence, and every value remembers where it comes from."""
    user = home / ".config" / "assent"
    user.mkdir(parents=True)
    assert source_of(resolve(), "policy") == "default"

    (user / "config.toml").write_text('\npolicy = "user.yaml"\n')
    settings = resolve()
    assert settings.policy_path == user / "user.yaml"
    assert source_of(settings, "policy") == f"{user / 'config.toml'}:2"

    (root / "assent.toml").write_text('policy = "project.yaml"')
    settings = resolve()
    assert settings.policy_path == root / "project.yaml"
    assert source_of(settings, "policy") == f"{root / 'assent.toml'}:1"

    environ = {"ASSENT_POLICY": "variable.yaml"}
    settings = resolve(environ=environ)
    assert settings.policy_path == root / "variable.yaml"
    assert source_of(settings, "policy") == "ASSENT_POLICY"

    settings = resolve(environ=environ, policy=Path("flag.yaml"))
    assert settings.policy_path == root / "flag.yaml"
    assert source_of(settings, "policy") == "--policy"


def test_every_variable_is_honoured(resolve: Resolve, root: Path) -> None:
    other = root / "other"
    other.mkdir()
    values = {
        "workspace": "other",
        "state": "s",
        "policy": "p.yaml",
        "principal": "user:somebody",
        "environment": "staging",
        "ledger.key": "k",
    }
    assert set(values) == set(VARIABLES)
    settings = resolve(environ={VARIABLES[name]: value for name, value in values.items()})
    assert settings.workspace == other
    assert settings.state == root / "s"
    assert settings.policy_path == root / "p.yaml"
    assert str(settings.principal) == "user:somebody"
    assert settings.environment == "staging"
    assert settings.key_path == root / "k"
    assert {source_of(settings, name) for name in values} == set(VARIABLES.values())


def test_a_removed_setting_is_told_with_its_place_and_refuses_nothing(
    resolve: Resolve, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its value is; a later version will refuse it."""
    (root / "assent.toml").write_text("[limits]\ngrace = 3\nversion_failed_percent = 'x'\n")
    assert resolve().limits.grace_ms == 3000
    (told,) = caplog.records
    assert told.getMessage().startswith(
        f"{root / 'assent.toml'}:3: `limits.version_failed_percent` does nothing any more"
    )


def test_limits_are_read_with_their_units(resolve: Resolve, root: Path) -> None:
    (root / "assent.toml").write_text(
        '[limits]\nconcurrency = 3\nconcurrency_of_all = 9\ngrace = "2s"\nstep_timeout = 0.5\nmax_pre_image_bytes = 7\n'
    )
    limits = resolve().limits
    assert (limits.concurrency, limits.concurrency_of_all) == (3, 9)
    assert (limits.grace_ms, limits.step_timeout_ms) == (2000, 500)
    assert limits.max_pre_image_bytes == 7
    assert limits.foreach_items == 10_000


def test_a_tilde_in_a_file_is_the_home_folder(resolve: Resolve, root: Path, home: Path) -> None:
    (root / "assent.toml").write_text('[ledger]\nkey = "~/keys/one"')
    assert resolve().key_path == home / "keys" / "one"


def test_the_default_key_lies_outside_the_state_and_differs_by_state(
    resolve: Resolve, root: Path, home: Path
) -> None:
    first = resolve().key_path
    second = resolve(state=root / "elsewhere").key_path
    assert first.parent == second.parent == home / ".config" / "assent" / "keys"
    assert first != second
    alias = root / "alias"
    alias.symlink_to(root / "elsewhere")
    assert resolve(state=alias).key_path == second, (
        "the same state has the same key, by whatever path it is reached"
    )


def test_configuration_and_policy_are_control_files(resolve: Resolve, root: Path) -> None:
    settings = resolve(policy=root / "p.yaml")
    assert {settings.state, settings.key_path} <= set(settings.hidden_files)
    assert set(settings.control_files) == {
        root / "assent.toml",
        root / "assent-plugins.lock",
        root / "assent-mcp.lock",
        root / "p.yaml",
        *settings.configuration_homes,
    }


def test_plugins_are_named_by_the_workspace_and_nowhere_else(
    resolve: Resolve, root: Path, home: Path
) -> None:
    """Nothing is loaded by default, and a user's own file can't add what runs in a workspace."""
    assert (resolve().plugin_paths, resolve().required_plugins) == ((), frozenset())
    (root / "assent.toml").write_text('[plugins]\npaths = ["b.py", "a", "b.py"]\nrequired = ["a"]\n')
    settings = resolve()
    assert settings.plugin_paths == ("b.py", "a")
    assert settings.required_plugins == {"a"}
    assert source_of(settings, "plugins.paths") == f"{root / 'assent.toml'}:2"
    (root / "assent.toml").write_text('[plugins]\npaths = "a"\nrequired = [1]\n')
    assert refused(resolve).code == "CONFIG_INVALID"
    (root / "assent.toml").write_text("")
    (home / ".config" / "assent").mkdir(parents=True)
    (home / ".config" / "assent" / "config.toml").write_text('[plugins]\npaths = ["a"]\n')
    assert refused(resolve).code == "CONFIG_INVALID"


@pytest.mark.parametrize(
    ("content", "place", "message", "hint"),
    [
        ('polcy = "x"', "1:1", "the file has no key `polcy`", "did you mean `policy`?"),
        (
            "[limits]\n\n  concurency = 2",
            "3:3",
            "`[limits]` has no key `concurency`",
            "did you mean `concurrency`?",
        ),
        (
            '[workspace]\npolicy = "x"',
            "2:1",
            "`[workspace]` has no key `policy`",
            "`policy` stands above every table; `[workspace]` has: ",
        ),
        (
            "[sandbox.limits]\nmemory = 1",
            "1:2",
            "`[sandbox]` has no key `limits`",
            "`limits` is a table of its own; `[sandbox]` has: ",
        ),
        ("strict = true", "1:1", "the file has no key `strict`", "it is written as `identity.strict`"),
        ('[identity]\nstrict = "yes"', "2:1", "`strict` must be true or false", None),
        ("[identity]\nstrict = 1", "2:1", "`strict` must be true or false", None),
        (
            "[identity.users.alice]\nuid = -1",
            "2:1",
            "`uid` must be a whole number between 0 and 4294967294",
            None,
        ),
        (
            "[identity.users.alice]\nuid = true",
            "2:1",
            "`uid` must be a whole number between 0 and 4294967294",
            None,
        ),
        (
            '[identity.users.alice]\nroles = "ops"',
            "2:1",
            '`roles` must be a list of role names: `["operator"]`',
            None,
        ),
        ("[identity]\nusers = 3", "2:1", "`users` must be a table: `[identity.users]`", None),
        *(
            (
                f'[identity."{kind}:{name}"]\nroles = []',
                "1:2",
                f"`[identity]` has no key `{kind}:{name}`",
                f"it is written as `[identity.{kind}s.{key}]`",
            )
            for kind in ("user", "agent", "service")
            for name, key in (("x", "x"), ("a.b@c", '"a.b@c"'))
        ),
        ('[identity.users."a b"]\nuid = 1', "1:2", "`a b` is not a principal id", "letters, digits"),
        ('[limits]\ngrace = "soon"', "2:1", "`grace` must be a duration", None),
        ("[limits]\ngrace = [1]", "2:1", "`grace` must be a duration", None),
        ("policy = 3", "1:1", "`policy` must be text", None),
        ("limits = 3", "1:1", "`limits` must be a table: `[limits]`", None),
        ('a = """\nstrict\n"""\n[identity]\nstric = 1', "1:1", "the file has no key `a`", None),
        ("x = ", "1:5", "this is not TOML: invalid value", "text stands in quotes"),
        ("[limits]\n[limits]", "2:8", "this is not TOML: cannot declare `limits` twice", None),
        (
            "[limits.rate]\n[limits.rate]",
            "2:13",
            "this is not TOML: cannot declare `limits.rate` twice",
            None,
        ),
        ("\n[identity\n", "2:10", "this is not TOML: expected", None),
        ("[mcp.server.a]", "1:2", "`[mcp]` has no key `server`", "did you mean `servers`?"),
        (
            '[knowledge.endpoints.own]\nurl = "http://127.0.0.1:1/"\nmodel = "m"\nsize = 0',
            "4:1",
            "`size` must be a whole number between 1 and 4096",
            None,
        ),
        ("[mcp.servers.a]", "1:2", "`[mcp.servers.a]` needs a `command` or a `url`, and not both", None),
        (
            '[mcp.servers.a]\ncommand = ["x"]\nheaders = { A = "b" }',
            "3:1",
            "`[mcp.servers.a]` can't have `headers`: a `command` has no use for it",
            "it may have `env`, ",
        ),
        (
            '[mcp.servers.a]\nurl = "https://x.example/mcp"\n\nnetwork = true',
            "4:1",
            "`[mcp.servers.a]` can't have `network`: a `url` has no use for it",
            "it may have `headers`, `private`",
        ),
        *(
            (
                f'[mcp.servers.a]\nurl = "{url}"',
                "2:1",
                f"`url` must {why}",
                None,
            )
            for url, why in {
                "https://ann:x@mcp.example/": "be an address without a name and a password",
                "file:///etc/passwd": "be an address without a name and a password",
                "https://[fe80::1%25eth0]/": "be an address that has one reading: ",
                "https://127.1/": "be an address that has one reading: ",
                "https://0x7f000001/": "be an address that has one reading: ",
                "https://localhost%2f.mcp.example/": "be an address that has one reading: ",
                "https://mcp.example:99999/": "be an address that has one reading: ",
                "https://mcp.example/\\\\@other.example": "be an address that has one reading: ",
                "https://mcp.example/a\u202eb": "be an address that has one reading: ",
                "https://[::ffff:127.0.0.1]/": "have its host written as `127.0.0.1`",
                "https://m\u00fcnchen.example/": "have its host written as `xn--mnchen-3ya.example`",
            }.items()
        ),
        *(
            (
                f'[mcp.servers.a]\nurl = "https://mcp.example/"\nheaders = {{ {headers} }}',
                "3:1",
                f"`headers` must be headers of requests: {why}",
                None,
            )
            for headers, why in {
                'Host = "other.example"': "the header `host` is set by Assent itself",
                'Transfer-Encoding = "chunked"': "the header `transfer-encoding` is set by Assent itself",
                '"X Y" = "1"': "`X Y` is not a name of a header",
                'A = "1", a = "2"': "the header `a` is given twice",
            }.items()
        ),
        (
            '[mcp.servers.a]\nurl = "http://mcp.example/"\nheaders = { Authorization = "Bearer secret://token" }',
            "3:1",
            "`[mcp.servers.a]` can't have secrets in `headers`: they could be read on the way",
            "use `https`, or ",
        ),
        (
            '[mcp.servers.a]\ncommand = ["x"]\nenv = { "A=B" = "1" }',
            "3:1",
            "`env` must have names without `=`",
            None,
        ),
        (
            '[mcp.servers.a]\ncommand = ["x"]\n[mcp.servers.a.tools.b]\n[mcp.servers.a.tools.c]\nread_only = true',
            "5:1",
            "what is said of the tool `c` is not valid: `read_only` is not a parameter",
            "did you mean `reads_only`?",
        ),
        (
            '[mcp.servers.a]\ncommand = ["x"]\n[mcp.servers.a.tools.b]\nreads_only = "yes"',
            "4:1",
            "what is said of the tool `b` is not valid: `reads_only` must be true or false, not `yes`",
            None,
        ),
        (
            '[mcp.servers.a]\ncommand = ["x"]\n[mcp.servers.a.tools]\nb = 3',
            "4:1",
            "what is said of the tool `b` is not valid",
            None,
        ),
        (
            '[mcp.servers.a]\ncommand = ["x"]\n[mcp.servers.a.tools.b]\nsecret = ["x", 5]',
            "4:1",
            "what is said of the tool `b` is not valid: `secret[1]`",
            None,
        ),
    ],
)
def test_a_broken_configuration_is_refused_with_its_place(
    resolve: Resolve, root: Path, *, content: str, place: str, message: str, hint: str | None
) -> None:
    file = root / "assent.toml"
    file.write_text(content)
    error = refused(resolve)
    assert (error.code, error.family) == ("CONFIG_INVALID", "input")
    assert error.path == f"{file}:{place}"
    assert error.message.startswith(message)
    if hint is not None:
        assert error.hint is not None
        assert error.hint.startswith(hint)


def test_addresses_of_servers_that_have_one_reading_are_taken(resolve: Resolve, root: Path) -> None:
    """Also one without encryption, where nothing secret goes or the operator has named the network that it is in."""
    for number, said in enumerate(
        (
            'url = "https://mcp.example.org/mcp?a=%C3%A9"\nheaders = { Authorization = "Bearer secret://token" }',
            'url = "http://[::1]:8000/mcp"\nprivate = ["::1/128"]\nheaders = { Authorization = "Bearer secret://token" }',
            'url = "http://mcp.example.org./"\nheaders = { X-Team = "core" }',
            'command = ["x"]\nenv = { A = "B=C" }',
        )
    ):
        (root / "assent.toml").write_text(f"[mcp.servers.s{number}]\n{said}")
        assert [*resolve().servers] == [f"s{number}"]


def test_all_faults_of_a_configuration_are_told_at_once(resolve: Resolve, root: Path) -> None:
    (root / "assent.toml").write_text("a = 1\nb = 2\n[limits]\nc = 3\n")
    faults = refused(resolve).details["faults"]
    assert isinstance(faults, list)
    assert len(faults) == 2


def test_faults_of_a_configuration_are_told_in_the_order_of_the_file(resolve: Resolve, root: Path) -> None:
    """Also where a table is opened twice, where a key is missing, and where a file that is named is not there."""
    lines = [
        "[net.rules.a]",
        'methods = ["GET"]',
        "[limits]",
        "c = 3",
        "[net]",
        'ca_bundle = "none.pem"',
        "[net.rules.b]",
        "hosts = 1",
        "[limits.rate.x]",
        "calls = 0",
    ]
    (root / "assent.toml").write_text("\n".join(lines))
    first = refused(resolve)
    others: Any = first.details["faults"]
    places = [str(first.path), *(one["path"] for one in others)]
    assert [int(place.split(":")[-2]) for place in places] == [1, 4, 6, 8, 9, 10]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "can't be read: no such file or directory"),
        ("no certificate", "holds no certificates in PEM form"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "holds no certificates in PEM form",
        ),
        ("", "holds no certificates in PEM form"),
        ("a folder", "is not a file"),
    ],
)
def test_authorities_that_can_not_be_read_are_refused_when_the_file_is_read(
    resolve: Resolve, root: Path, content: str | None, why: str
) -> None:
    """And not with the first request that is verified against them."""
    bundle = root / "own.pem"
    if content == "a folder":
        bundle.mkdir()
    elif content is not None:
        bundle.write_text(content)
    file = root / "assent.toml"
    file.write_text('[net]\ntimeout = "5s"\n  ca_bundle = "own.pem"\n')
    error = refused(resolve)
    assert (error.code, error.path) == ("CONFIG_INVALID", f"{file}:3:3")
    assert error.message.startswith(f"`ca_bundle` names `{bundle}`, which {why}")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "can't be read: no such file"), ("{}", "`document` is not of its form")]
)
def test_a_routing_table_that_is_wrong_is_refused_when_the_file_is_read(
    resolve: Resolve, root: Path, content: str | None, why: str
) -> None:
    if content is not None:
        (root / "routes.json").write_text(content)
    file = root / "assent.toml"
    file.write_text('[knowledge]\nroutes = "routes.json"\n')
    error = refused(resolve)
    assert (error.code, error.path) == ("CONFIG_INVALID", f"{file}:2:1")
    assert error.message.startswith(f"`routes` names `{root / 'routes.json'}`, where")
    assert why in error.message


def test_bytes_that_are_no_text_are_refused_with_their_line(resolve: Resolve, root: Path) -> None:
    (root / "assent.toml").write_bytes(b"\n\xff")
    error = refused(resolve)
    assert (error.code, error.path) == ("CONFIG_INVALID", f"{root / 'assent.toml'}:2:1")


def test_the_user_configuration_decides_neither_who_is_who_nor_where_state_is(
    resolve: Resolve, home: Path
) -> None:
    folder = home / ".config" / "assent"
    folder.mkdir(parents=True)
    for table in ("[identity]\nstrict = false", '[workspace]\nstate = "x"'):
        (folder / "config.toml").write_text(table)
        assert refused(resolve).code == "CONFIG_INVALID"


def test_a_key_is_located_behind_a_multi_line_text(root: Path) -> None:
    text = 'one = """\n[two]\nthree = 1\n"""\n[two]\n"th.ree" . four = 1\n'
    assert locate(text, ("two", "th.ree", "four")) == (6, 1)
    assert locate(text, ("two",)) == (5, 2)
    assert locate(text, ("absent",)) == (1, 1)


def test_a_key_of_one_of_many_tables_is_located_by_its_number() -> None:
    text = "[[a]]\nx = 1\n[a.in]\nz = 1\n[[a]]\ny = 1\n[a.in]\nz = 1\n[[a.more]]\nz = 1\n[b]\nx = 1\n"
    assert locate(text, ("a", "0", "x")) == (2, 1)
    assert locate(text, ("a", "1")) == (5, 3)
    assert locate(text, ("a", "1", "x")) == (5, 3)
    assert locate(text, ("a", "1", "in", "z")) == (8, 1)
    assert locate(text, ("a", "1", "more", "0", "z")) == (10, 1)
    assert locate(text, ("a", "in", "z")) == (4, 1)
    assert locate(text, ("b", "x")) == (12, 1)


def test_the_default_principal_is_the_account_itself(resolve: Resolve) -> None:
    settings = resolve()
    assert str(settings.principal) == OWN
    assert not settings.asserted
    assert settings.os_uid == UID


def test_roles_come_from_the_configuration(resolve: Resolve, root: Path) -> None:
    login = login_of(UID)
    (root / "assent.toml").write_text(
        f'[identity.users."{login}"]\nroles = ["ops", "dev"]\n[identity.agents.bot]\nroles = ["agent"]\n'
        "[identity.services.ci]\n"
    )
    settings = resolve()
    assert settings.principal.roles == {"ops", "dev"}
    assert settings.roles == {OWN: {"ops", "dev"}, "agent:bot": {"agent"}, "service:ci": frozenset()}


def test_another_name_is_an_assertion(resolve: Resolve) -> None:
    settings = resolve(principal="agent:bot")
    assert str(settings.principal) == "agent:bot"
    assert settings.asserted


def test_naming_oneself_asserts_nothing(resolve: Resolve) -> None:
    assert not resolve(principal=OWN).asserted


def test_a_name_mapped_to_the_account_is_proven(resolve: Resolve, root: Path) -> None:
    (root / "assent.toml").write_text(f"[identity]\nstrict = true\n[identity.agents.bot]\nuid = {UID}\n")
    settings = resolve(principal="agent:bot")
    assert not settings.asserted


@pytest.mark.parametrize("principal", ["user:mallory", "agent:other", "agent:bot"])
def test_strict_refuses_a_name_that_is_not_mapped_to_the_account(
    resolve: Resolve, root: Path, principal: str
) -> None:
    (root / "assent.toml").write_text(f"[identity]\nstrict = true\n[identity.agents.bot]\nuid = {UID + 1}\n")
    with pytest.raises(RefusedError) as raised:
        resolve(principal=principal)
    assert raised.value.code == "IDENTITY_REFUSED"


def test_a_login_that_is_mapped_to_somebody_else_proves_nothing(resolve: Resolve, root: Path) -> None:
    """A committed configuration names another machine's user ids: the same login is then only a name."""
    login = login_of(UID)
    file = root / "assent.toml"
    file.write_text(f'[identity.users."{login}"]\nuid = {UID + 1}\n')
    assert resolve().asserted
    file.write_text(f'[identity]\nstrict = true\n[identity.users."{login}"]\nuid = {UID + 1}\n')
    assert refused(resolve).code == "IDENTITY_REFUSED"


def test_a_forwarded_name_that_claims_to_be_proven_must_be(resolve: Resolve) -> None:
    """The owner judges a forwarded request by the peer's user id, not by what the request says of itself."""
    settings = resolve()
    assert str(settings.principal_of(OWN, asserted=False, os_uid=UID)) == OWN
    error = refused(lambda: settings.principal_of("user:mallory", asserted=False, os_uid=UID))
    assert error.code == "IDENTITY_REFUSED"


def test_a_text_that_names_no_principal_is_refused(resolve: Resolve) -> None:
    for text in ("alice", "user:", "robot:x", "user:a b"):
        with pytest.raises(InputError) as raised:
            resolve(principal=text)
        assert raised.value.code == "SPEC_INVALID"


def test_an_account_without_a_name_is_called_by_its_number() -> None:
    assert login_of(4_000_000_123) == "uid-4000000123"


def test_without_a_configured_policy_there_are_no_bytes(resolve: Resolve) -> None:
    assert resolve().policy_bytes() is None


def test_a_missing_policy_is_told_when_it_is_loaded_not_before(resolve: Resolve, root: Path) -> None:
    settings = resolve(policy=root / "none.yaml")
    assert refused(settings.policy_bytes).code == "POLICY_MISSING"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_policy_that_others_may_change_is_refused(resolve: Resolve, root: Path, mode: int) -> None:
    file = root / "p.yaml"
    file.write_text("version: 1\n")
    file.chmod(mode)
    settings = resolve(policy=file)
    assert refused(settings.policy_bytes).code == "POLICY_PERMISSIONS"
    file.chmod(0o644)
    assert settings.policy_bytes() == b"version: 1\n"


def test_a_policy_that_is_no_plain_file_is_refused_without_waiting(resolve: Resolve, root: Path) -> None:
    pipe = root / "p.yaml"
    os.mkfifo(pipe, 0o600)
    assert refused(resolve(policy=pipe).policy_bytes).code == "POLICY_INVALID"
    assert refused(resolve(policy=root).policy_bytes).code == "POLICY_INVALID"


def test_the_state_is_private_and_ignores_itself(root: Path) -> None:
    state = root / "x" / ".assent"
    create_state(state)
    create_state(state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert (state / ".gitignore").read_text() == "*\n"


def test_a_state_that_others_may_enter_is_refused(root: Path) -> None:
    state = root / ".assent"
    state.mkdir(mode=0o700)
    state.chmod(0o750)
    assert refused(lambda: create_state(state)).code == "STATE_PERMISSIONS"


def test_a_state_whose_path_is_no_utf_8_is_refused_before_anything_is_made(root: Path) -> None:
    """SQLite could not open the ledger there; the refusal itself can be printed anywhere."""
    folder = root / "half \udcff"
    fault = refused(lambda: create_state(folder / ".assent"))
    assert (fault.code, fault.path) == ("STATE_UNUSABLE", f"{root}/half \\udcff/.assent")
    assert not folder.exists()


def test_a_state_that_cannot_be_made_is_told(root: Path) -> None:
    (root / ".assent").write_text("")
    assert refused(lambda: create_state(root / ".assent")).code == "STATE_UNUSABLE"


def test_the_socket_lies_in_a_short_private_folder(resolve: Resolve, tmp_path: Path) -> None:
    private = tmp_path / "run"
    private.mkdir(mode=0o700)
    folder = resolve(environ={"XDG_RUNTIME_DIR": str(private)}).runtime_dir()
    assert folder == private / "assent"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_runtime_folder_that_is_not_ours_alone_is_passed_over(resolve: Resolve, tmp_path: Path) -> None:
    open_ = tmp_path / "open"
    open_.mkdir()
    open_.chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    folder = resolve(environ={"XDG_RUNTIME_DIR": str(open_), "TMPDIR": str(temporary)}).runtime_dir()
    assert folder == temporary / f"assent-{UID}"


def test_a_socket_folder_that_somebody_else_prepared_is_refused(resolve: Resolve, tmp_path: Path) -> None:
    """In a shared temporary folder anybody can be first; a link or an open folder there is a trap."""
    temporary = tmp_path / "tmp"
    elsewhere = tmp_path / "elsewhere"
    temporary.mkdir()
    elsewhere.mkdir(mode=0o700)
    trap = temporary / f"assent-{UID}"
    settings = resolve(environ={"TMPDIR": str(temporary)})
    trap.symlink_to(elsewhere)
    assert refused(settings.runtime_dir).code == "RUNTIME_DIR_UNSAFE"
    trap.unlink()
    trap.mkdir()
    trap.chmod(0o777)
    assert refused(settings.runtime_dir).code == "RUNTIME_DIR_UNSAFE"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[knowledge.repositories.code]\nfoldr = "src"', ["has no key `foldr`"]),
        ('[knowledge.labels.staff]\npath = ["x"]\nroles = ["hr"]', ["has no key `path`"]),
        ("[limits.rate.x]\ncals = 2\nwindow = 1", ["has no key `cals`"]),
        ("[limits.rate.x]\nwindow = 1\nzebra = 2", ["has no key `zebra`", "needs `calls`"]),
    ],
)
def test_a_misspelt_key_is_one_error(resolve: Resolve, root: Path, content: str, told: list[str]) -> None:
    """A key that is needed is not told as missing too where another one was meant to be it."""
    (root / "assent.toml").write_text(content)
    error = refused(resolve)
    others: Any = error.details.get("faults", [])  # `Any`: as `invalid` tells them, each with its message
    said = sorted([error.message, *(one["message"] for one in others)])
    assert [text.partition("]` ")[2] for text in said] == told
