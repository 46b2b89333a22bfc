"""A constant expression has its value, worked out without running anything; any other is unknown."""

from __future__ import annotations

from textwrap import dedent

import pytest

from assent.plugins import Declaration, SourceKind, scan
from assent.plugins.manifest import Capability, Manifest


def read(source: str, **more: str) -> Manifest:
    files = {"x/__init__.py": dedent(source).encode()} | {
        f"x/{name}.py": dedent(t).encode() for name, t in more.items()
    }
    return scan(files, Declaration(name="x"), SourceKind.PACKAGE)


def only(source: str, **more: str) -> Capability:
    (capability,) = read(source, **more).capabilities
    return capability


def name_of(expression: str, before: str = "", **more: str) -> str | None:
    """What a capability is called whose name is this expression; None when it is unknown."""
    source = f"""
from enum import Enum, IntEnum, StrEnum, auto
import base64, types
from assent import capability
{dedent(before)}
@capability("a.b", operation="READ", risk="LOW", name={expression})
def f(): ...
"""
    found = only(source, **more)
    assert ("name" in found.unknown) is (found.name is None)
    return found.name


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'a' + 'b' * 2", "abb"),
        ('f\'{1 + 1}-{"x"!s}-{3:03d}-{"q"!r}\'', "2-x-003-'q'"),
        ("'a' if 2 - 2 else 'b'", "b"),
        ("'abc'[::-1]", "cba"),
        ("'abc'[1]", "b"),
        ("{'k': 'v', **{'l': 'w'}}['l']", "w"),
        ("('a', *('b', 'c'))[2]", "c"),
        ("'-'.join(['a', 'b'])", "a-b"),
        ("' A '.strip().lower()", "a"),
        ("'a.b'.replace('.', '_')", "a_b"),
        ("'{}{}'.format('a', 'b')", "ab"),
        ("'%s-%s' % ('a', 'b')", "a-b"),
        ("base64.b64decode('YWI=').decode()", "ab"),
        ("bytes([97, 98]).decode()", "ab"),
        ("chr(97) + str(7 // 2) + str(2 ** 3) + str(1 << 2) + str(~1) + str(not 1)", "a384-2False"),
        ("sorted({'b', 'a'})[0]", "a"),
        ("types.MappingProxyType({'a': 'b'})['a']", "b"),
        ("dict(a='b')['a']", "b"),
        ("str(len)", None),
        ("'a' + 1", None),
        ("'a' / 2", None),
        ("[][1]", None),
        ("unknown", None),
        ("f'{unknown}'", None),
        ("f'{1.5}'", None),
        ("{**unknown}['a']", None),
        ("(*unknown,)[0]", None),
        ("{**[1]}['a']", None),
        ("('a', *5)[0]", None),
        ("lambda: 'a'", None),
        ("'{0.real}'.format(1)", None),
        ("'x'.join('ab' for _ in 'a')", None),
        ("str(object='a', **{})", None),
        ("f'{\"a\":{10**9}}'", None),
    ],
)
def test_an_expression_has_its_value_or_none(expression: str, value: str | None) -> None:
    assert name_of(expression) == value


@pytest.mark.parametrize(
    ("before", "expression", "value"),
    [
        ("A = 'a'\nB = A + 'b'", "B", "ab"),
        ("A: str = 'a'", "A", "a"),
        ("A, B = 'a', 'b'", "B", "b"),
        ("class K(StrEnum):\n  A = 'x'\n  B = auto()", "K.A + K.B", "xb"),
        ("class K(StrEnum):\n  A = 'x'", "K.A.value", "x"),
        ("class K(Enum):\n  A = 'x'", "K.A.value", "x"),
        ("class K(Enum):\n  A = auto()", "K.A.value", None),
        ("class K:\n  A = 'x'\nclass L(K): ...", "L.A", "x"),
        ("class K:\n  A = 'x'\n  A = 'y'", "K.A", None),
        ("class K: ...", "K.A", None),
        ("A = 'a'\ndef g():\n  global A\n  A = 'b'", "A", None),
        ("A = 'a'\nA += 'b'", "A", None),
        ("for A in 'ab': ...", "A", None),
        ("from elsewhere import A", "A", None),
        ("from .more import A", "A", "far"),
        ("from . import more", "more.A", "far"),
        ("from .more import C", "C.D", "deep"),
        ("from .more import *", "A", "far"),
        ("from .more import ABSENT", "ABSENT", None),
    ],
)
def test_a_name_has_the_value_of_its_one_binding(before: str, expression: str, value: str | None) -> None:
    assert name_of(expression, before, more="A = 'far'\nclass C:\n  D = 'deep'\n") == value


def test_a_local_constant_counts_in_its_own_function_only() -> None:
    source = """
        from assent import capability
        NAME = "outer"
        def build():
            NAME = "inner"
            @capability("a.b", operation="READ", risk="LOW", name=NAME)
            def f(): ...
            @f.preview
            def show(): ...
            return f
    """
    found = only(source)
    assert (found.name, found.is_registered, found.parts) == ("inner", False, ("execute", "preview"))


def test_a_risk_may_be_an_object() -> None:
    found = only("""
        from assent import capability
        from assent.spec.capability import Risk, RiskLevel
        RISK = Risk(level=RiskLevel("HIGH"), requires_approval=True)
        @capability("a.b", operation="READ", risk=RISK)
        def f(): ...
    """)
    assert (found.risk, found.requires_approval, found.unknown) == ("HIGH", True, ())


def test_arguments_that_are_unpacked_are_unknown() -> None:
    found = only("""
        from assent import capability
        @capability("a.b", **options)
        def f(): ...
    """)
    assert found.id == "a.b"
    assert {"operation", "risk", "labels", "timeout"} <= set(found.unknown)


def test_a_decorator_may_be_written_as_a_call() -> None:
    found = only("""
        from assent import capability
        def run(key: str) -> int: ...
        def undo(): ...
        run_it = capability("a.b", operation="WRITE", risk="MEDIUM", reversible=True)(run)
    """)
    assert (found.handler, found.parts, found.unknown) == ("run", ("execute",), ())


def test_hooks_of_every_call_and_of_one_call_have_their_level() -> None:
    found = read("""
        def install(rt, context):
            @rt.hooks.before
            def first(call): ...
            @context.hooks.finally_(id="last", retries=pick())
            def last(call): ...
            rt.hooks.after(watch, level="capability", capability="a.b")
        def watch(call): ...
    """).hooks
    assert [(one.kind, one.level, one.id, one.capability, one.unknown) for one in found] == [
        ("before", "global", "x.first", None, ()),
        ("finally", "local", "last", None, ("retries",)),
        ("after", "capability", None, "a.b", ()),
    ]


TYPES = """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import *
import collections.abc as abc
import foreign
from pydantic import BaseModel, Field
from assent import capability, LocalContext
from assent.spec.types import Email, Duration

Name = Annotated[str, Field(min_length=1, description="a name")]
class Kind(Enum):
    A = 1
class Level(IntEnum):
    A = 1
class Base(foreign.Model):
    a: int
class Own(BaseModel):
    of: ClassVar[int] = 1
    _hidden: int = 1
    given: int = Field(...)
    made: list[int] = Field(default_factory=list, alias="built")
    plain: str = Field(default="x", description="plain")
@dataclass
class Data:
    x: float
class Box(BaseModel, Generic[T]):
    inner: T
"""


@pytest.mark.parametrize(
    ("annotation", "text", "kinds"),
    [
        ("Optional[List[int]]", "list[int] | None", ("array", "null")),
        ("Union[int, None, str]", "int | str | None", ("integer", "null", "string")),
        ("'int | None'", "int | None", ("integer", "null")),
        ("'not python ('", "'not python ('", ()),
        ("Name", "str", ("string",)),
        ("abc.Mapping[str, Any]", "dict[str, Any]", ("object",)),
        ("Tuple[int, ...]", "tuple[int, ...]", ("array",)),
        (
            "Literal[1, 'a', None, True]",
            "Literal[1, 'a', None, True]",
            ("boolean", "integer", "null", "string"),
        ),
        ("Literal[unknown]", "Literal[unknown]", ()),
        ("Kind", "Kind", ()),
        ("Level", "Level", ("integer",)),
        ("Box[int]", "Box", ("object",)),
        ("Data", "Data", ("object",)),
        ("Email", "assent.spec.types.Email", ("string",)),
        ("Duration", "assent.spec.types.Duration", ("number", "string")),
        ("foreign.Thing", "foreign.Thing", ()),
        ("Annotated[int, foreign.check]", "int", ()),
        ("Final[int]", "int", ("integer",)),
        ("make()", "make()", ()),
        ("None", "None", ("null",)),
    ],
)
def test_a_type_is_told_in_one_spelling(annotation: str, text: str, kinds: tuple[str, ...]) -> None:
    found = only(
        f"{TYPES}\n@capability('a.b', operation='READ', risk='LOW')\ndef f(*, p: {annotation}): ...\n"
    )
    assert found.parameters is not None
    assert found.parameters.fields is not None
    (field,) = found.parameters.fields
    assert (field.type, field.json) == (text, kinds)


def test_models_have_their_fields() -> None:
    found = {one.name: one for one in read(TYPES).models}
    assert [(f.name, f.required, f.default, f.description) for f in found["x:Own"].fields] == [
        ("given", True, None, ""),
        ("built", False, "list()", ""),
        ("plain", False, "'x'", "plain"),
    ]
    assert [field.name for field in found["x:Data"].fields] == ["x"]
    assert found["x:Box"].is_complete
    assert "x:Base" not in found, "somebody else's class may be anything"


@pytest.mark.parametrize("signature", ["p: foreign.Model", "p: Base", "p"])
def test_a_single_parameter_of_somebody_elses_type_may_be_all_inputs(signature: str) -> None:
    found = only(f"{TYPES}\n@capability('a.b', operation='READ', risk='LOW')\ndef f({signature}): ...\n")
    assert found.parameters is not None
    if signature == "p: foreign.Model":
        assert (found.parameters.fields, found.unknown) == (None, ("parameters",))


def test_a_schema_that_is_written_out_has_its_fields() -> None:
    source = """
        from assent import capability
        @capability("a.b", operation="READ", risk="LOW", parameters={}, returns={"type": "array"})
        def f(context: "LocalContext", inputs): ...
    """
    found = only(source)
    assert found.parameters is not None
    assert found.returns is not None
    assert (found.parameters.fields, found.returns.json, found.returns.fields) == ((), ("array",), None)


def test_a_handler_may_be_a_tuple_of_unknown_things() -> None:
    found = read("""
        from assent.spec.capability import CapabilitySpec, create_write_capability
        class Part:
            def preview(self): ...
        def install(rt, spec):
            rt.register(spec, Part())
            made = CapabilitySpec(
                id="a.b", operation_type=kind(), side_effects=effects(), compensation=how(), risk=risk()
            )
            rt.register(made, Part)
            create_write_capability("a.c", reversible=guess())
    """).capabilities
    spec = next(one for one in found if one.id == "a.b")
    assert {"operation", "reversible", "scope", "compensation", "risk", "requires_approval", "parts"} <= set(
        spec.unknown
    )
    guessed = next(one for one in found if one.id == "a.c")
    assert {"reversible", "risk"} <= set(guessed.unknown)
