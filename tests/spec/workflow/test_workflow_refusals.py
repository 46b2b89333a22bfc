"""A document that can't be meant is refused with every fault, its place and a suggestion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError
from assent.spec import (
    WorkflowSpec,
)
from assent.spec.documents.document import Document
from tests.support.properties import holds
from tests.support.workflows import INNER, RELEASE, STEP, load, refusal, sequence

BAD = [
    (
        "unknown key",
        sequence(STEP.format("a") + "    depend_on: [b]\n"),
        "UNKNOWN_KEY",
        "w.yaml:5:5",
        "`depends_on`",
    ),
    ("unknown top key", sequence(STEP.format("a")) + "step: 1\n", "UNKNOWN_KEY", "w.yaml:5:1", "`steps`"),
    ("no name", "steps:\n" + STEP.format("a"), "MISSING_KEY", "w.yaml:1:1", "name: "),
    ("no steps", "name: w\n", "MISSING_KEY", "w.yaml:1:1", "steps:"),
    ("nothing to do", sequence("  - name: a\n"), "MISSING_KEY", "w.yaml:3:5", "`capability`"),
    (
        "mistyped kind",
        sequence("  - name: a\n    capabilty: sys.noop\n"),
        "UNKNOWN_KEY",
        "w.yaml:4:5",
        "`capability`",
    ),
    ("two things", sequence(STEP.format("a") + "    approval: x\n"), "VALUE_INVALID", "w.yaml:5:5", ""),
    (
        "no concurrency key",
        sequence(STEP.format("a")) + "concurrency: { limit: 2 }\n",
        "MISSING_KEY",
        "w.yaml:5:14",
        "key: deploy",
    ),
    (
        "a way to be busy",
        sequence(STEP.format("a")) + "concurrency: { key: k, on_busy: wait }\n",
        "VALUE_INVALID",
        "w.yaml:5:33",
        "cancel_running",
    ),
    (
        "a key of an output",
        sequence(STEP.format("a")) + "concurrency: k${{ steps.a.output }}\n",
        "REFERENCE_UNKNOWN",
        "w.yaml:5:19",
        "`principal`",
    ),
    ("no time", sequence("  - name: a\n    wait: soon\n"), "VALUE_INVALID", "w.yaml:4:11", "30s"),
    ("too long", sequence("  - name: a\n    wait: 400d\n"), "VALUE_INVALID", "w.yaml:4:11", "30s"),
    (
        "no moment",
        sequence("  - name: a\n    wait: { until: tomorrow }\n"),
        "VALUE_INVALID",
        "w.yaml:4:20",
        "2026-12-01T08:00:00+01:00",
    ),
    (
        "a moment without a zone",
        sequence("  - name: a\n    wait: { until: 2026-12-01T08:00:00 }\n"),
        "VALUE_INVALID",
        "w.yaml:4:20",
        "+01:00",
    ),
    (
        "two waits",
        sequence("  - name: a\n    wait: { for: 1s, signal: go }\n"),
        "VALUE_INVALID",
        "w.yaml:4:11",
        "",
    ),
    ("no wait", sequence("  - name: a\n    wait: {}\n"), "VALUE_INVALID", "w.yaml:4:11", ""),
    (
        "odd signal",
        sequence("  - name: a\n    wait: { signal: Go-Now }\n"),
        "NAME_INVALID",
        "w.yaml:4:21",
        "`go_now`",
    ),
    (
        "timeout of a time",
        sequence("  - name: a\n    wait: { for: 1s, timeout: 2s }\n"),
        "UNKNOWN_KEY",
        "w.yaml:4:22",
        "",
    ),
    (
        "wait with inputs",
        sequence("  - name: a\n    wait: 1s\n    inputs: {}\n"),
        "UNKNOWN_KEY",
        "w.yaml:5:5",
        "",
    ),
    ("twice", sequence(STEP.format("a"), STEP.format("a")), "DUPLICATE_STEP", "w.yaml:5:11", "a_2"),
    ("odd name", sequence(STEP.format("Build-It")), "NAME_INVALID", "w.yaml:3:11", "`build_it`"),
    ("a CEL word", sequence(STEP.format("for")), "NAME_INVALID", "w.yaml:3:11", "`for_step`"),
    (
        "input name",
        "inputs: {Odd: string}\n" + sequence(STEP.format("a")),
        "NAME_INVALID",
        "w.yaml:1:10",
        "`odd`",
    ),
    (
        "no such step",
        sequence(STEP.format("a") + "    depends_on: [aa]\n"),
        "DEPENDENCY_UNKNOWN",
        "w.yaml:5:18",
        "`a`",
    ),
    ("itself", sequence(STEP.format("a") + "    depends_on: [a]\n"), "CYCLE", "w.yaml:5:17", "`a`"),
    ("version", "version: 1.0\n" + sequence(STEP.format("a")), "WRONG_TYPE", "w.yaml:1:10", '"1.0"'),
    ("capability", sequence("  - {name: a, capability: Write}\n"), "VALUE_INVALID", "w.yaml:3:27", ""),
    ("timeout", sequence(STEP.format("a") + "    timeout: soon\n"), "VALUE_INVALID", "w.yaml:5:14", "30s"),
    ("endless", sequence(STEP.format("a") + "    timeout: 32d\n"), "VALUE_INVALID", "w.yaml:5:14", ""),
    (
        "attempts",
        sequence(STEP.format("a") + "    retry: {max_attempts: 0}\n"),
        "VALUE_INVALID",
        "w.yaml:5:27",
        "",
    ),
    ("risk", sequence(STEP.format("a") + "    risk_level: HIHG\n"), "VALUE_INVALID", "w.yaml:5:17", "`HIGH`"),
    ("undo", sequence(STEP.format("a") + "    undo: maybe\n"), "VALUE_INVALID", "w.yaml:5:11", ""),
    ("foreach", sequence(STEP.format("a") + "    foreach: abc\n"), "WRONG_TYPE", "w.yaml:5:14", ""),
    (
        "wrapped when",
        sequence(STEP.format("a") + "    when: ${{ true }}\n"),
        "EXPRESSION_INVALID",
        "w.yaml:5:11",
        "when: true",
    ),
    ("broken when", sequence(STEP.format("a") + "    when: 1 +\n"), "EXPRESSION_INVALID", "w.yaml:5:11", ""),
    ("no mapping", "- a\n", "WRONG_TYPE", "w.yaml:1:1", ""),
    (
        "a type",
        "inputs: {a: strin}\n" + sequence(STEP.format("a")),
        "VALUE_INVALID",
        "w.yaml:1:13",
        "`string`",
    ),
    (
        "a default",
        "inputs: {a: {type: integer, default: x}}\n" + sequence(STEP.format("a")),
        "INVALID_INPUT",
        "w.yaml:1:38",
        "",
    ),
    (
        "a schema",
        "inputs: {a: {pattern: '['}}\n" + sequence(STEP.format("a")),
        "VALUE_INVALID",
        "w.yaml:1:23",
        "",
    ),
    ("empty finally", sequence(STEP.format("a")) + "finally: []\n", "MISSING_KEY", "w.yaml:5:10", "finally:"),
    ("odd finally", sequence(STEP.format("a")) + "finally: {a: b}\n", "WRONG_TYPE", "w.yaml:5:10", "- "),
    ("finally of a step", sequence(STEP.format("a") + "    finally: []\n"), "UNKNOWN_KEY", "w.yaml:5:5", ""),
    (
        "one name twice",
        sequence(STEP.format("a")) + "finally:\n" + STEP.format("a"),
        "DUPLICATE_STEP",
        "w.yaml:6:11",
        "a_2",
    ),
    (
        "back from finally",
        sequence(STEP.format("a")) + "finally:\n" + STEP.format("f") + "    depends_on: a\n",
        "DEPENDENCY_UNKNOWN",
        "w.yaml:8:17",
        "when: steps.a.output != null",
    ),
    (
        "ahead to finally",
        sequence(STEP.format("a") + "    depends_on: [f]\n") + "finally:\n" + STEP.format("f"),
        "DEPENDENCY_UNKNOWN",
        "w.yaml:5:18",
        "",
    ),
    (
        "a cycle in finally",
        sequence(STEP.format("a"))
        + "finally:\n"
        + STEP.format("f")
        + "    depends_on: g\n"
        + STEP.format("g"),
        "CYCLE",
        "w.yaml:8:17",
        "`g`",
    ),
    (
        "a far schema",
        "inputs: {a: {items: {$ref: x}}}\n" + sequence(STEP.format("a")),
        "VALUE_INVALID",
        "w.yaml:1:22",
        "",
    ),
]


@pytest.mark.parametrize(
    ("text", "code", "place", "hint"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_bad_document_is_refused_with_code_place_and_suggestion(
    text: str, code: str, place: str, hint: str
) -> None:
    """One fault each, found when the file is loaded."""
    error = refusal(text)
    assert (error.code, error.path) == (code, place)
    assert hint in (error.hint or "")


REFERENCES = [
    ("${{ inputs.y }}", "REFERENCE_UNKNOWN", "`x`"),
    ("${{ steps.aa.output }}", "REFERENCE_UNKNOWN", "`a`"),
    ("${{ steps.c.output }}", "REFERENCE_FORWARD", "depends_on"),
    ("${{ steps.b.output }}", "REFERENCE_FORWARD", ""),
    ("${{ steps.aside.output }}", "REFERENCE_FORWARD", "depends_on"),
    ("${{ steps.a }}", "REFERENCE_UNKNOWN", "steps.a.output"),
    ("${{ steps.a.result }}", "REFERENCE_UNKNOWN", "steps.a.output"),
    ("${{ a.output }}", "REFERENCE_UNKNOWN", "`steps.a.output`"),
    ("${{ x }}", "REFERENCE_UNKNOWN", "`inputs.x`"),
    ("${{ item }}", "REFERENCE_UNKNOWN", ""),
    ("${{ inputs.x + steps.c.output }}", "REFERENCE_FORWARD", ""),
    ("${{ inputs.x", "EXPRESSION_INVALID", "}}"),
    ("${{ }}", "EXPRESSION_INVALID", ""),
    ("${{ inputs.x + }}", "EXPRESSION_INVALID", ""),
    ("${{ now() }}", "EXPRESSION_INVALID", ""),
]


@pytest.mark.parametrize(("reference", "code", "hint"), REFERENCES)
def test_a_reference_names_only_what_exists_and_comes_before(reference: str, code: str, hint: str) -> None:
    """Unknown names, later steps, siblings, the step itself and broken expressions are refused at their own place."""
    text = "inputs: {x: string}\n" + sequence(
        STEP.format("a"),
        STEP.format("aside") + "    depends_on: [a]\n",
        STEP.format("b") + f"    depends_on: [a]\n    inputs: {{path: 'x {reference}'}}\n",
        STEP.format("c"),
    )
    error = refusal(text)
    assert error.code == code
    assert error.path is not None
    assert error.path.startswith("w.yaml:12:")
    assert int(error.path.rpartition(":")[2]) >= 21
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("inside", "reference", "code", "hint"),
    [
        ("steps", "run.outcome", "REFERENCE_UNKNOWN", "only a step of `finally`"),
        ("steps", "steps.f.output", "REFERENCE_FORWARD", ""),
        ("outputs", "steps.f.output", "REFERENCE_FORWARD", ""),
        ("outputs", "run.code", "REFERENCE_UNKNOWN", "only a step of `finally`"),
        ("finally", "run.outcom", "REFERENCE_UNKNOWN", "`outcome`"),
        ("finally", "run.code.x", "REFERENCE_UNKNOWN", "code"),
        ("finally", "steps.g.output", "REFERENCE_FORWARD", "depends_on"),
        ("inner", "run.code", "REFERENCE_UNKNOWN", "only a step of `finally`"),
        ("finally", "run.code", None, ""),
        ("finally", "steps.a.output", None, ""),
        ("finally", "run.message + inputs.x", None, ""),
    ],
)
def test_only_finally_sees_how_the_others_ended(
    inside: str, reference: str, code: str | None, hint: str
) -> None:
    """`run` and every output are there for its steps; what comes before them, or is taken in, can't see what they do."""

    def given(place: str) -> str:
        return f"    inputs: {{path: '${{{{ {reference} }}}}'}}\n" if place == inside else ""

    text = (
        "inputs: {x: string}\n" + sequence(STEP.format("a") + given("steps")) + "finally:\n"
        + STEP.format("f") + given("finally") + STEP.format("g") + "  - {name: sub, workflow: sub.yaml}\n"
        + (f"outputs: {{o: '${{{{ {reference} }}}}'}}\n" if inside == "outputs" else "")
    )  # fmt: skip
    inner = sequence(STEP.format("one") + given("inner"))
    if code is None:
        assert load(text, sub=inner).has_finally
    else:
        error = refusal(text, sub=inner)
        assert error.code == code
        assert hint in (error.hint or "")


def test_a_workflow_that_is_taken_in_has_no_finally() -> None:
    """Silently left out, what it cleans up would stay."""
    inner = sequence(STEP.format("one")) + "finally:\n" + STEP.format("two")
    for outer in (
        sequence("  - {name: s, workflow: sub.yaml}\n"),
        sequence(STEP.format("a")) + "finally:\n  - {name: s, workflow: sub.yaml}\n",
    ):
        assert refusal(outer, sub=inner).code == "WORKFLOW_NESTED"


def test_a_cycle_is_named_with_its_steps() -> None:
    """The message lists the steps of the cycle and no others."""
    text = sequence(
        STEP.format("free"),
        STEP.format("a") + "    depends_on: [c]\n",
        STEP.format("b") + "    depends_on: [a]\n",
        STEP.format("c") + "    depends_on: [b]\n",
    )
    error = refusal(text)
    assert error.code == "CYCLE"
    assert all(f"`{name}`" in error.message for name in "abc")
    assert "free" not in error.message


def test_an_unknown_dependency_is_an_invalid_workflow() -> None:
    """The sentence that older tools look for stands in the message."""
    assert "Invalid workflow spec" in refusal(sequence(STEP.format("a") + "    depends_on: [b]\n")).message


def test_all_faults_of_a_document_are_reported_together() -> None:
    """The first is raised and the others stand in its details, each complete."""
    error = refusal(
        sequence(STEP.format("A") + "    timeout: x\n    colour: red\n", STEP.format("b") + "    undo: x\n")
    )
    others = error.details["faults"]
    assert isinstance(others, list)
    codes = [error.code, *(other["code"] for other in others if isinstance(other, dict))]
    assert sorted(map(str, codes)) == ["NAME_INVALID", "UNKNOWN_KEY", "VALUE_INVALID", "VALUE_INVALID"]
    assert all(isinstance(other, dict) and str(other["path"]).startswith("w.yaml:") for other in others)


def test_a_mistyped_kind_is_one_fault() -> None:
    """Whoever wrote `capabilty` did say what to do; a second error would send them looking for it."""
    assert "faults" not in refusal(sequence("  - name: a\n    capabilty: sys.noop\n")).details


@pytest.mark.parametrize(
    ("outer", "files", "code"),
    [
        ("sub.yaml", {}, "FILE_MISSING"),
        ("../sub.yaml", {}, "VALUE_INVALID"),
        ("/sub.yaml", {}, "VALUE_INVALID"),
        ("sub.yaml", {"sub": sequence("  - {name: again, workflow: sub.yaml}\n")}, "WORKFLOW_NESTED"),
        ("sub.yaml", {"sub": sequence("  - {name: a}\n")}, "MISSING_KEY"),
    ],
)
def test_a_workflow_that_cannot_be_inlined_is_refused(outer: str, files: dict[str, str], code: str) -> None:
    """Missing files, ways out of the folder, loops and faults inside all end in one error."""
    assert refusal(sequence(f"  - {{name: sub, workflow: {outer}}}\n"), **files).code == code


def test_inputs_of_an_inlined_workflow_are_checked() -> None:
    """An unknown, a missing and a wrongly typed one are refused where they are handed in."""
    for values, code in (
        ("{}", "INPUT_MISSING"),
        ("{target: a, tarbet: b}", "INPUT_UNKNOWN"),
        ("{target: 5}", "INVALID_INPUT"),
    ):
        text = sequence(f"  - {{name: sub, workflow: sub.yaml, inputs: {values}}}\n")
        assert refusal(text, sub=INNER).code == code


def test_inlining_cannot_multiply_without_end() -> None:
    """Ten times ten times ten … files are refused at the limit of steps, quickly."""
    files = {
        f"l{level}": sequence(*(f"  - {{name: s{i}, workflow: l{level + 1}.yaml}}\n" for i in range(10)))
        for level in range(1, 7)
    }
    files["l7"] = sequence(STEP.format("a"))
    assert refusal(sequence("  - {name: s, workflow: l1.yaml}\n"), **files).code == "WORKFLOW_TOO_LARGE"


def test_limits_are_errors_and_large_workflows_are_not() -> None:
    """Ten thousand steps in a row load; one more, or groups with millions of dependencies, do not."""
    steps = [{"name": f"s{i}", "capability": "a.b"} for i in range(10_000)]
    assert len(WorkflowSpec(name="w", steps=steps).steps) == 10_000
    with pytest.raises(InputError) as caught:
        WorkflowSpec(name="w", steps=[*steps, {"name": "more", "capability": "a.b"}])
    assert caught.value.code == "WORKFLOW_TOO_LARGE"
    with pytest.raises(InputError) as caught:
        WorkflowSpec(name="w", steps=[{"parallel": steps[:1000]}, {"parallel": steps[1000:2000]}])
    assert caught.value.code == "WORKFLOW_TOO_LARGE"


@holds("documents")
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(RELEASE)), st.sampled_from([*"${}[]:-, \n'\"x5!.", "", "steps", "null"])
        ),
        max_size=4,
    )
)
def test_a_mutated_document_gives_a_workflow_or_one_of_our_errors(edits: list[tuple[int, str]]) -> None:
    """Characters replaced anywhere in a valid document never end in another exception."""
    text = RELEASE
    for at, piece in edits:
        text = text[:at] + piece + text[at + 1 :]
    try:
        spec = load(text)
    except AssentError as error:
        assert error.path is not None  # noqa: PT017  # either outcome is right; each has its own assertion
    else:
        assert WorkflowSpec.from_dict(spec.to_json()) == spec


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-9, 9)
        | st.sampled_from(["a", "a.b", "${{ inputs.a }}", "5m"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "name steps inputs outputs capability parallel workflow approval reason when foreach retry backoff "
                    "depends_on metadata a type default".split()
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_no_shape_of_data_escapes_the_checks(data: Any) -> None:
    """Any JSON under any of our keys gives a workflow or an error of ours."""
    try:
        WorkflowSpec.from_document(Document.of(data))
    except AssentError as error:
        assert error.code  # noqa: PT017  # either outcome is right
