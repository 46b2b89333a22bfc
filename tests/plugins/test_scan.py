"""A source is understood without being run: what it declares, what it takes and gives, and what can't be read of it."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.plugins import Declaration, SourceKind, scan
from assent.plugins.scan._types import ANY, TEXT_MAX
from tests.support.scanning import only, read

DECORATED = '''
from typing import Optional
import assent as a
from assent import capability as describe, LocalContext
from assent.spec.capability import OperationType as Kind, RiskLevel
from notes.models import Put

BASE = "notes"
LEVEL = RiskLevel.MEDIUM

@describe(f"{BASE}.put", operation=Kind.WRITE, risk=LEVEL, reversible=True, labels={"b", "a"}, timeout=5 * 6, secrets=["tok"])
async def put(context: LocalContext, key: str, text: Optional[str] = None) -> Put:
    """Put
    a note.

    More.
    """

@put.prepare
async def before(context, key): ...

@put.compensate
async def restore(context, key): ...

@put.before(timeout_s=3, retries=2)
async def guard(context): ...
'''
MODELS = '''
from typing import Annotated, Literal
from pydantic import BaseModel, Field

Count = Annotated[int, Field(ge=0, description="how many")]

class Base(BaseModel):
    id: str

class Put(Base):
    """A put."""
    count: Count = 1
    kind: "Literal['a', 2] | None" = None
    more: list[int] = Field(default_factory=list)
'''


def test_a_decorated_function_is_a_capability_with_all_that_it_states_and_derives() -> None:
    found = only(DECORATED, models=MODELS)
    assert (found.id, found.version, found.operation, found.risk) == ("notes.put", "1.0.0", "WRITE", "MEDIUM")
    assert (found.reversible, found.compensation, found.idempotent) == (True, "restore_pre_image", False)
    assert (found.timeout, found.labels, found.secrets) == (30.0, ("a", "b"), ("tok",))
    assert (found.description, found.handler) == ("Put a note.", "put")
    assert found.parts == ("compensate", "execute", "prepare")
    assert (found.form, found.unknown, found.is_registered) == ("decorator", (), True)
    assert found.at == "notes/__init__.py:12"


def test_parameters_are_what_the_signature_names() -> None:
    shape = only(DECORATED, models=MODELS).parameters
    assert shape is not None
    assert shape.fields is not None
    assert [(f.name, f.type, f.json, f.required, f.default) for f in shape.fields] == [
        ("key", "str", ("string",), True, None),
        ("text", "str | None", ("null", "string"), False, "None"),
    ]


def test_a_result_has_the_fields_of_its_model_and_of_the_models_bases() -> None:
    shape = only(DECORATED, models=MODELS).returns
    assert shape is not None
    assert shape.fields is not None
    assert shape.type == "Put"
    assert [(f.name, f.type, f.json, f.required, f.description) for f in shape.fields] == [
        ("id", "str", ("string",), True, ""),
        ("count", "int", ("integer",), False, "how many"),
        ("kind", "Literal['a', 2] | None", ("integer", "null", "string"), False, ""),
        ("more", "list[int]", ("array",), False, ""),
    ]


def test_a_field_of_two_bases_is_that_of_the_first_and_goes_by_the_name_that_is_validated() -> None:
    models = """
    from pydantic import BaseModel, Field
    class First(BaseModel):
        size: int
    class Second(BaseModel):
        size: str
        place: str = Field(alias="at", validation_alias="where")
    class Put(First, Second): ...
    """
    shape = only(DECORATED, models=models).returns
    assert shape is not None
    assert shape.fields is not None
    assert [(f.name, f.type) for f in shape.fields] == [("size", "int"), ("where", "str")]


def test_a_model_may_be_called_like_the_one_that_it_extends() -> None:
    models = """
    from notes import first
    class Put(first.Put):
        more: int
    """
    first = """
    from pydantic import BaseModel
    class Put(BaseModel):
        size: int
    """
    found = read(DECORATED, models=models, first=first)
    assert [(one.name, [f.name for f in one.fields], one.is_complete) for one in found.models] == [
        ("notes.first:Put", ["size"], True),
        ("notes.models:Put", ["size", "more"], True),
    ]


def test_a_field_for_secrets_takes_text() -> None:
    found = only("""
    from assent import capability
    from assent.spec.types import SecretJson, SecretText
    @capability("notes.send", operation="WRITE", risk="HIGH")
    def send(header: SecretText, body: SecretJson): ...
    """)
    assert found.parameters is not None
    assert found.parameters.fields is not None
    assert [f.json for f in found.parameters.fields] == [("string",), ANY]


HUGE = "0x" + "f" * 5000


@pytest.mark.parametrize(
    "parameters",
    [
        f"a: int = {HUGE}",
        f"a: Literal[{HUGE}] = 1",
        f"a: {HUGE} = 1",
        f"a: int = Field(default={HUGE})",
    ],
)
def test_a_number_of_more_digits_than_python_writes_is_no_end_of_reading(parameters: str) -> None:
    found = only(
        "from typing import Literal\nfrom pydantic import Field\nfrom assent import capability\n"
        f"@capability('notes.put', operation='READ', risk='LOW')\ndef put({parameters}): ..."
    )
    assert found.parameters is not None
    assert found.parameters.fields is not None
    assert [(f.name, f.required) for f in found.parameters.fields] == [("a", False)]


def test_the_fields_of_a_written_schema_are_no_longer_than_is_worth_reading() -> None:
    found = only(
        "from assent import capability\n"
        "@capability('notes.put', operation='READ', risk='LOW', parameters={'type': 'object', 'properties': "
        f"{{'a': {{'type': 'string', 'default': '{'x' * 5000}'}}, 'b': {{'default': {HUGE}}}}}}})\n"
        "def put(whole): ..."
    )
    assert found.parameters is not None
    assert all(len(f.default or "") <= TEXT_MAX for f in found.parameters.fields or ())


def test_a_hook_has_its_level_and_limits() -> None:
    (hook,) = read(DECORATED, models=MODELS).hooks
    assert (hook.kind, hook.level, hook.id, hook.capability) == (
        "before",
        "capability",
        "notes.guard",
        "notes.put",
    )
    assert (hook.timeout, hook.retries, hook.unknown) == (3.0, 2, ())


def test_what_only_running_would_tell_is_unknown_and_never_guessed() -> None:
    found = only("""
        import time
        from assent import capability
        LIMIT = time.monotonic()
        @capability("x.y" + input(), operation="READ", risk=pick(), timeout=LIMIT)
        def f(a): ...
    """)
    assert (found.id, found.risk, found.timeout) == (None, None, None)
    assert found.unknown == ("id", "risk", "timeout")


def test_a_name_that_is_bound_twice_has_no_known_value() -> None:
    found = only("""
        from assent import capability
        RISK = "LOW"
        if x:
            RISK = "HIGH"
        @capability("x.y", operation="READ", risk=RISK)
        def f(): ...
    """)
    assert found.unknown == ("risk",)


SPECS = """
from assent.spec.capability import (
    CapabilitySpec, Compensation, Risk, RiskLevel, SideEffects, create_delete_capability, create_read_capability,
    create_write_capability,
)
from assent.invocation import Handler
from pydantic import BaseModel

class Takes(BaseModel):
    path: str

def run(context, parameters): ...
def back(context, parameters): ...

class Both:
    def execute(self, context, parameters): ...
    def preview(self, context, parameters): ...

SPEC = CapabilitySpec(
    id="a.spec", operation_type="EXECUTE", parameters=Takes, side_effects=SideEffects(reversible=True, scope="disk"),
    compensation=Compensation(supported=True, strategy="back"), risk=Risk(level=RiskLevel.HIGH, requires_approval=True),
    returns={"type": "object", "properties": {"a": {"type": "integer", "default": 1}, "b": {}}, "required": ["b"]},
)

def install(rt):
    rt.register(SPEC, Handler(run, compensate=back, prepare=None))
    rt.register(create_read_capability("a.read", "Read."), run)
    rt.register(create_write_capability("a.write", reversible=False, parameters=Takes.model_json_schema()), Both())
    rt.register(create_delete_capability("a.delete"), unknown_thing)
    create_read_capability("a.unused")
"""


def test_each_form_derives_what_it_would_register() -> None:
    found = {one.id: one for one in read(SPECS).capabilities}
    spec, reading = found["a.spec"], found["a.read"]
    assert (spec.operation, spec.risk, spec.requires_approval) == ("EXECUTE", "HIGH", True)
    assert (spec.scope, spec.compensation, spec.parts) == ("disk", "back", ("compensate", "execute"))
    assert spec.returns is not None
    assert spec.returns.fields is not None
    assert [(f.name, f.json, f.required, f.default) for f in spec.returns.fields] == [
        ("a", ("integer",), False, "1"),
        ("b", (), True, None),
    ]
    assert (reading.operation, reading.risk, reading.idempotent) == ("READ", "LOW", True)
    assert (reading.description, reading.parts, reading.handler) == ("Read.", ("execute",), "run")
    write = found["a.write"]
    assert (write.risk, write.reversible, write.parts) == ("HIGH", False, ("execute", "preview"))
    assert write.parameters is not None
    assert write.parameters.fields is not None
    assert [field.name for field in write.parameters.fields] == ["path"]
    delete = found["a.delete"]
    assert (delete.risk, delete.requires_approval, delete.compensation) == ("HIGH", True, "recreate")
    assert delete.unknown == ("parts",)
    assert [one.id for one in found.values() if not one.is_registered] == ["a.unused"]


def fault(data: bytes) -> InputError:
    with pytest.raises(InputError) as raised:
        scan({"notes.py": data}, Declaration(name="notes"), SourceKind.FILE)
    assert raised.value.code == "PLUGIN_SOURCE_INVALID"
    return raised.value


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"def f(:", "notes.py:1:7"),
        (b"x = 1\nx = \xff", "notes.py:2:1"),
        (b"x = 1\nx = '\0'", "notes.py:2:1"),
        (b"# coding: latin-1\nx = '\xe4'", "notes.py:1:1"),
        (b"# coding: utf-7\n", "notes.py:1:1"),
        (b"# coding: nonsense\n", "notes.py:1:1"),
        (b"x = " + b"(" * 500 + b")" * 500, None),
        (b"x = " + b"-" * 100_000 + b"1", "notes.py"),
        (b"x = " + b"+".join([b"1"] * 50_000), "notes.py"),
        (b"x = a" + b".b" * 100_000, "notes.py"),
        (b"#" * (1 << 20) + b"\n", "notes.py"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_error(data: bytes, place: str | None) -> None:
    error = fault(data)
    assert error.path is not None
    assert error.path == place or place is None


def test_all_files_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(InputError) as raised:
        scan({"a.py": b"(", "b.py": b"\xff", "c.py": b""}, Declaration(name="x"), SourceKind.FOLDER)
    assert raised.value.path == "a.py:1:1"
    assert len(raised.value.details["faults"]) == 1  # type: ignore[arg-type]  # a list of objects


@pytest.mark.parametrize(
    "source",
    [
        "x = 'a' * 10**9",
        "x = 2 ** 10**9",
        "x = 1 << 10**9",
        "x = '%1000000000d' % 1",
        "x = f'{1:1000000000}'",
        "x = '{:1000000000}'.format(1)",
        "x = bytes(10**10)",
        "a = b\nb = a\nx = a",
        "x = [" + "0," * 100_000 + "]",
        "x = ''.join(['a' * 60000, 'b' * 60000])",
        "x = 10**100 * 10**100",
        "x = str(1)[:10**9] + [][5]",
    ],
)
def test_a_constant_that_would_fill_the_memory_is_unknown(source: str) -> None:
    found = only(
        f"from assent import capability\n{source}\n@capability(x, operation='READ', risk='LOW')\ndef f(): ..."
    )
    assert found.unknown == ("id",)


def test_deep_but_readable_code_is_read() -> None:
    read("x = " + "+".join(["1"] * 500))
    read("x = a" + ".b" * 500 + "()")


def test_kinds_of_files_are_told_apart() -> None:
    files = {"a.so": b"", "b.pyc": b"", "c.txt": b"", "d.py": b"", "e.so.1": b"", "F.PYD": b""}
    found = scan(files, Declaration(name="x"), SourceKind.FOLDER)
    assert [file.kind for file in found.files] == ["native", "native", "bytecode", "data", "python", "native"]


def doubled(line: str, last: str, *, of: int = 60) -> str:
    """Definitions each of which names the next one twice."""
    return "\n".join([*(line.format(i=i, j=i + 1) for i in range(of)), last.format(i=of)])


@pytest.mark.parametrize(
    "source",
    [
        doubled("x{i} = x{j} if c else x{j}", "x{i} = os") + "\nx0.system('ls')",
        doubled("x{i} = x{j} if c else x{j}", "x{i} = x0") + "\nx0.system('ls')",
        doubled("x{i} = x{j} + x{j}", "x{i} = 'a'") + "\ngetattr(os, x0)",
        doubled("T{i} = T{j} | list[T{j}]", "T{i} = int") + "\nclass M(BaseModel):\n  a: T0",
        doubled(
            "class A{i}(A{j}, B{j}): ...\nclass B{i}(A{j}, B{j}): ...", "class A{i}: ...\nclass B{i}: ..."
        ),
        doubled("class A{i}(A{j}): ...", "class A{i}(A0): ..."),
    ],
)
def test_names_that_tangle_cost_a_bounded_time(source: str) -> None:
    """Either they can be followed, or the source is refused: it never takes longer than anybody can wait."""
    head = "import os\nfrom pydantic import BaseModel\n"
    try:
        read(head + source)
    except InputError as error:
        assert error.code == "PLUGIN_SOURCE_INVALID"  # noqa: PT017  # both ends are right; what is not is to hang


def test_modules_that_take_everything_from_each_other_are_followed() -> None:
    names = [f"m{i}" for i in range(6)]
    text = "\n".join(f"from .{name} import *" for name in names)
    found = read(
        "from .m0 import *\ndef f(): system('x'); nothing()",
        **dict.fromkeys(names[:5], text),
        m5=text + "\nfrom os import *",
    )
    assert "os.system" in {use.name for use in found.uses}
