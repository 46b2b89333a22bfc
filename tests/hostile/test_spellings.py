"""A path, a URL and a project have one spelling before anybody decides: no other way to write one gets past a rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent import Runtime
from assent.capabilities.findings import project_of
from assent.capabilities.net._url import normal_template, normal_url, parse_url
from assent.cli import main
from assent.invocation import Handler, NoEffectError
from assent.policy import PolicyEngine, check, load_cases, run_cases
from assent.runtime.wiring._call_pipeline import spellings
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.schemas.references import subschemas
from assent.spec.spelled_fields import (
    HOST_PATH_FORMAT,
    PATH_FORMAT,
    PROJECT_FORMAT,
    TEMPLATE_FORMAT,
    URL_FORMAT,
)
from assent.spec.values.frozen import thaw

POLICY: Final = """\
version: 1
rules:
  - {id: secret, if: 'has(inputs.path) && (inputs.path == "secret.txt" || inputs.path.startsWith("private/"))', decision: DENY}
  - {id: listed, if: 'has(inputs.paths) && "secret.txt" in inputs.paths', decision: DENY}
  - {id: prod, if: 'has(inputs.project) && inputs.project == "prod"', decision: DENY}
  - {id: host, if: 'has(inputs.url) && inputs.url.startsWith("http://127.0.0.1:8099/secret")', decision: DENY}
default: ALLOW
"""

PATHS: Final = (
    "secret.txt", "./secret.txt", "././secret.txt", ".//secret.txt", "secret.txt/", "secret.txt/.", "secret.txt//",
    "private/k", "./private/k", "private/./k", "private//k", "private/k/.", "private/.//./k",
)  # fmt: skip
URLS: Final = (
    "http://127.0.0.1:8099/secret", "http://127.0.0.1.:8099/secret",
    "http://127.0.0.1:8099/./secret", "http://127.0.0.1:8099/%73ecret", "http://127.0.0.1:8099/%53/../%73%65cret",
    "http://127.0.0.1:08099/secret", "http://127.0.0.1:8099/x/../secret", "http://127.0.0.1:8099/%2e/secret",
    "http://[::ffff:127.0.0.1]:8099/secret", "http://[0:0:0:0:0:FFFF:7f00:1]:8099/secret",
    "http://127.0.0.1:8099/x/%2E%2e/secret", "http://127.0.0.1:8099/secret#there", "http://127.0.0.1:8099/../secret?a",
)  # fmt: skip


def opened(workspace: Path) -> Runtime:
    (workspace / "private").mkdir(parents=True, exist_ok=True)
    (workspace / "private/k").write_text("k")
    (workspace / "secret.txt").write_text("secret")
    (workspace / "open.txt").write_text("open")
    (workspace / "assent.toml").write_text('policy = "policy.yaml"\n')
    (workspace / "policy.yaml").write_text(POLICY)
    (workspace / "policy.yaml").chmod(0o600)
    return Runtime.open(workspace)


async def code_of(rt: Runtime, capability: str, inputs: dict[str, Any]) -> str | None:
    result = await rt.call(capability, inputs)
    return None if result.error is None else str(result.error["code"])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "workspace"


async def test_no_spelling_of_a_path_gets_past_a_rule(workspace: Path) -> None:
    """Whatever the capability; in full, too."""
    full = (f"{workspace}/secret.txt", f"{workspace}/./private//k", f"/{workspace}/secret.txt/")
    async with opened(workspace) as rt:
        for path in (*PATHS, *full):
            for capability, more in {
                "io.fs.read_file": {}, "io.fs.write_file": {"content": "x"}, "io.fs.delete": {},
                "io.fs.hash_file": {}, "io.fs.search": {"pattern": "e"}, "data.json.parse": {},
                "net.http.download": {"url": "http://127.0.0.1:1/a"},
            }.items():  # fmt: skip
                assert await code_of(rt, capability, {"path": path, **more}) == "POLICY_DENIED", path
    assert (workspace / "secret.txt").read_text() == "secret"


async def test_no_spelling_of_a_url_gets_past_a_rule(workspace: Path) -> None:
    async with opened(workspace) as rt:
        for url in URLS:
            assert await code_of(rt, "net.http.get", {"url": url}) == "POLICY_DENIED", url


async def test_what_is_decided_is_what_is_recorded_and_done(workspace: Path) -> None:
    async with opened(workspace) as rt:
        result = await rt.call("io.fs.write_file", {"path": f"{workspace}/./new//../new", "content": "a"})
        assert result.error is not None
        assert result.error["code"] == "PATH_ESCAPES"
        result = await rt.call("io.fs.write_file", {"path": f"{workspace}/.//new.txt", "content": "a"})
        snapshot = json.dumps((await rt.snapshot(result.run_id)).document)
        assert '"path": "new.txt"' in snapshot
        explained, _ = await rt.explain("io.fs.read_file", {"path": "./secret.txt"})
        assert explained.decision.rule == "secret"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../secret.txt", "PATH_ESCAPES"),
        ("a/../secret.txt", "PATH_ESCAPES"),
        ("/etc/passwd", "PATH_ESCAPES"),
        ("/", "PATH_ESCAPES"),
        ("a\0b", "PATH_INVALID"),
        ("a/" * 201, "PATH_INVALID"),
        ("n" * 256, "PATH_INVALID"),
    ],
)
async def test_a_path_that_names_no_place_is_a_fault_of_its_step(
    workspace: Path, path: str, code: str
) -> None:
    """The run is on record, and nothing was asked."""
    async with opened(workspace) as rt:
        result = await rt.call("io.fs.read_file", {"path": path})
        assert (result.status, result.steps[0].status) == ("failed", "failed")
        assert result.error is not None
        assert result.error["code"] == code


PARAMETERS: Final[tuple[tuple[dict[str, Any], dict[str, Any], dict[str, Any]], ...]] = (
    (
        {"properties": {"path": {"type": "string", "format": "workspace-path"}}},
        {"path": "./a//b"},
        {"path": "a/b"},
    ),
    ({"properties": {"path": {"type": "string", "format": "path"}}}, {"path": "a/."}, {"path": "a"}),
    (
        {
            "properties": {
                "path": {"anyOf": [{"type": "string", "format": "workspace-path"}, {"type": "null"}]}
            }
        },
        {"path": "./a"},
        {"path": "a"},
    ),
    (
        {"properties": {"paths": {"type": "array", "items": {"type": "string", "format": "workspace-path"}}}},
        {"paths": ["./a", "b", "c//d"]},
        {"paths": ["a", "b", "c/d"]},
    ),
    (
        {
            "properties": {"sources": {"type": "array", "items": {"$ref": "#/$defs/Source"}}},
            "$defs": {
                "Source": {
                    "type": "object",
                    "properties": {
                        "at": {"type": "string", "format": "uri"},
                        "to": {"type": "string", "format": "workspace-path"},
                    },
                }
            },
        },
        {"sources": [{"at": "HTTPS://Example.org:443", "to": "./a"}, {"to": "b"}]},
        {"sources": [{"at": "https://example.org/", "to": "a"}, {"to": "b"}]},
    ),
    (
        {"additionalProperties": {"type": "string", "format": "workspace-path"}},
        {"x": "./a", "y": "b"},
        {"x": "a", "y": "b"},
    ),
    (
        {"properties": {"path": {"type": "string"}, "text": {"type": "string", "format": "date"}}},
        {"path": "./a", "text": "./b"},
        {"path": "./a", "text": "./b"},
    ),
)


@pytest.mark.parametrize(("schema", "given", "seen"), PARAMETERS)
async def test_every_capability_gets_it_from_its_schema(
    workspace: Path, schema: dict[str, Any], given: dict[str, Any], seen: dict[str, Any]
) -> None:
    """Also in lists, in objects and behind references; the handler gets what was decided on."""
    got: list[object] = []

    async def execute(context: object, parameters: object) -> None:
        del context
        got.append(parameters)

    async with opened(workspace) as rt:
        rt.register(create_read_capability("x.y", parameters={"type": "object", **schema}), Handler(execute))
        assert await code_of(rt, "x.y", given) is None
    assert got == [seen]


def test_where_paths_stand_is_no_part_of_the_fingerprint() -> None:
    """Nor is it taken for what is only named so: a default, a member called `format`."""

    def spec(path: Mapping[str, Any]) -> CapabilitySpec:
        return create_read_capability("x.y", parameters={"type": "object", "properties": {"format": path}})

    plain = {"type": "string", "default": "a"}
    assert (
        spec({**plain, "format": PATH_FORMAT}).fingerprint
        == spec({**plain, "format": TEMPLATE_FORMAT}).fingerprint
        == spec(plain).fingerprint
    )
    others: list[dict[str, Any]] = [
        {**plain, "format": "path"},
        {**plain, "format": "uri"},
        {"default": {"format": PATH_FORMAT}},
        {"default": {}},
    ]
    assert len({spec(one).fingerprint for one in (plain, *others)}) == 5
    assert (
        spec({**plain, "format": PATH_FORMAT}).to_json()["parameters"] != spec(plain).to_json()["parameters"]
    )


NAMED: Final = {
    "path",
    "paths",
    "source",
    "sources",
    "destination",
    "cwd",
    "base",
    "repository",
    "url",
    "folder",
}
"""Members that name a place."""


def members(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in subschemas(schema):
        yield from one.get("properties", {}).items()


PROD: Final = "52f91440-6bd7-843f-82cc-6a9b304ee0f7"
"""What `project_of` makes of the name `prod`."""


async def test_no_spelling_of_a_project_gets_past_a_rule_and_each_act_names_one(workspace: Path) -> None:
    """Whatever acts on findings."""
    async with opened(workspace) as rt:
        acts = {one.id: one for one in rt.registry.list() if one.id.startswith(("findings.", "scan."))}
        for one in acts.values():
            parameters: Any = thaw(one.parameters)
            schema = parameters["properties"]["project"]
            assert schema.get("format") == PROJECT_FORMAT, one.id
            assert "project" in parameters["required"], one.id
        assert len(acts) >= 8
        for ident, inputs in (
            ("findings.gc", {}),
            ("findings.delete_project", {}),
            ("findings.import", {"path": "open.txt"}),
            ("findings.report", {"path": "a.csv", "format": "csv"}),
            ("scan.static", {"tool": "bandit", "target": "."}),
        ):
            assert await code_of(rt, ident, {**inputs, "project": "prod"}) == "POLICY_DENIED", ident
            for said in (PROD, PROD.upper(), PROD.title()):
                code = await code_of(rt, ident, {**inputs, "project": said})
                assert code == "PROJECT_NAME_INVALID", (ident, said)


def test_the_id_that_is_tried_is_that_of_the_name() -> None:
    digest = sha256(b"assent project\0prod").hexdigest()
    made = f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-"
    assert PROD.startswith(made)
    assert project_of("prod") == (PROD, "prod")


@pytest.mark.parametrize(
    "said",
    [*(f"prod{one}" for one in "\u3164\ufe0f\u034f\u115f\uffa0\u180b"), "\uff50rod", "pro\ufb01", "e\u0301"],
)
def test_no_project_has_a_name_that_looks_like_anothers(said: str) -> None:
    with pytest.raises(NoEffectError) as refused:
        project_of(said)
    assert refused.value.code == "PROJECT_NAME_INVALID"
    assert project_of("é 工程")[1] == "é 工程"


@given(
    st.one_of(
        st.text(min_size=1, max_size=40), st.uuids().map(str), st.uuids().map(lambda one: str(one).upper())
    )
)
def test_a_project_has_one_spelling(said: str) -> None:
    """What calls may say of one project is one text, and that stays as it is; the id of a name is never another way."""
    spell = spellings(Path("/workspace"))[PROJECT_FORMAT]
    try:
        spelled = spell(said)
    except NoEffectError:
        return
    assert spell(spelled) == spelled
    ident, name = project_of(spelled)
    assert (ident, name) == project_of(said)
    assert spelled in (ident, name)
    if name is not None:
        assert spelled == said
        for other in (ident, ident.upper()):
            with pytest.raises(NoEffectError):
                spell(other)


async def test_every_built_in_capability_says_what_is_a_path_or_a_url(workspace: Path) -> None:
    forms = {PATH_FORMAT, HOST_PATH_FORMAT, URL_FORMAT, TEMPLATE_FORMAT}
    async with opened(workspace) as rt:
        specs = rt.registry.list()
    unsaid = {
        f"{spec.id}: {name}"
        for spec in specs
        if not spec.id.startswith(
            "knowledge."
        )  # names of the index, within a repository of it: no places of the workspace
        for name, schema in members(spec.parameters)
        if name in NAMED
        and not any(one.get("format") in forms or "$ref" in one for one in subschemas(schema))
    }
    assert unsaid == set()
    assert sum(name in NAMED for spec in specs for name, _ in members(spec.parameters)) > 50


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://EXAMPLE.org", "https://example.org/"),
        ("https://example.org:443/a", "https://example.org/a"),
        ("http://example.org:0080", "http://example.org/"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://example.org/%c3%bc%7Euser/%2f", "https://example.org/%C3%BC~user/%2F"),
        ("https://example.org/a/../../b/./", "https://example.org/b/"),
        ("https://example.org/a/..", "https://example.org/"),
        ("https://example.org/.well-known/..a", "https://example.org/.well-known/..a"),
        ("https://example.org//a//b", "https://example.org//a//b"),
        ("https://example.org/?q=%61+b&c=../d#f", "https://example.org/?q=a+b&c=../d"),
        ("https://[2001:DB8:0:0::1]:8443/", "https://[2001:db8::1]:8443/"),
        ("S3://Bucket/./Key/%7e", "s3://bucket/Key/~"),
        ("ftp://Me@Example.org", "ftp://Me@example.org/"),
        ("MAILTO:a@example.org", "mailto:a@example.org"),
    ],
)
def test_an_address_has_one_form(url: str, normal: str) -> None:
    assert normal_url(url) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    "url", ["", "example.org/a", "http://a b/", "http://", "https://a:0/", "https://0x7f.1/", "ftp://a\\b"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(NoEffectError) as refused:
        normal_url(url)
    assert refused.value.code == "URL_INVALID"


def test_a_template_keeps_its_placeholders_and_its_place() -> None:
    assert (
        normal_template("HTTPS://Example.org/./a/{id}/%7e?k={key}") == "https://example.org/a/{id}/~?k={key}"
    )
    assert normal_template("https://{host}/./a") == "https://{host}/./a"


@given(
    st.lists(
        st.sampled_from([".", "..", "", "a", "%2e", "%2E%2e", "%2f", "b;c", "~", "ü", "%7E", "{"]), max_size=8
    )
)
def test_a_normal_form_is_its_own(parts: list[str]) -> None:
    """And a request for it is the request for what was written."""
    url = f"http://example.org/{'/'.join(parts)}"
    normal = normal_url(url)
    assert normal == normal_url(normal) == str(parse_url(url))
    assert not {".", ".."} & set(normal.split("/"))


@given(st.text(alphabet="abz09._~-/", max_size=20), st.data())
def test_no_encoding_of_a_plain_letter_is_another_address(path: str, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.booleans(), min_size=len(path), max_size=len(path)))
    written = "".join(
        f"%{ord(mark):02x}" if hidden and mark != "/" else quote(mark)
        for mark, hidden in zip(path, chosen, strict=True)
    )
    assert normal_url(f"http://example.org/{written}") == normal_url(f"http://example.org/{path}")


@pytest.mark.parametrize(
    ("condition", "warned"),
    [
        ('inputs.path == "./a"', True),
        ('"a//b" != inputs.path', True),
        ('inputs.path.startsWith("./private/")', True),
        ('inputs.url.startsWith("https://Example.org/")', True),
        ('inputs.url == "https://example.org"', True),
        ('inputs.path == "a/b"', False),
        ('inputs.path.startsWith("private/")', False),
        ('inputs.path.startsWith("private")', False),
        ('inputs.url.startsWith("https://")', False),
        ('inputs.url.startsWith("https://example.org:8443/a?")', False),
        ('inputs.content == "./a"', False),
        ('inputs.path == "../a"', True),
        ('inputs.path.startsWith("../")', False),
        (f'inputs.project == "{PROD}"', True),
        (f'inputs.project == "{PROD[:14]}4{PROD[15:]}"', False),
        ('inputs.project == "0B9D7C52-5D5E-4F6E-8F0A-6F0F3F1F2A11"', True),
        ('inputs.project == "prod"', False),
    ],
)
async def test_a_literal_that_no_path_and_no_url_can_be_is_told(
    workspace: Path, condition: str, warned: bool
) -> None:
    async with opened(workspace) as rt:
        known = rt.registry.list()
    text = f"version: 1\nrules: [{{id: a, decision: DENY, if: '{condition}'}}]\n"
    found = check(text, known_capabilities=known, spellings=spellings(workspace))
    assert [one.kind for one in found if one.kind == "unspelled"] == ["unspelled"] * warned, found


async def test_cases_of_a_policy_are_put_as_calls_are(workspace: Path) -> None:
    async with opened(workspace) as rt:
        specs = {spec.id: spec for spec in rt.registry.list()}
    text = "cases: [{given: {capability: io.fs.read_file, inputs: {path: ./secret.txt}}, expect: DENY, rule: secret}]"
    cases = load_cases(text, capabilities=specs, spellings=spellings(workspace))
    (result,) = run_cases(PolicyEngine.load(POLICY), cases)
    assert result.passed, result.fault


def test_people_see_which_inputs_are_paths_and_urls(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(workspace.parent))
    workspace.mkdir()
    assert main(["capability", "show", "net.http.download", "--workspace", str(workspace)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {("url", "URL"), ("path", "path")} <= {tuple(words[:2]) for words in shown}
