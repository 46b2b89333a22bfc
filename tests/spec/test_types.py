"""The ready types: what they take, how they are written, and what they say when they refuse."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from assent.spec.capability import SpecModel
from assent.spec.types import Duration, Email, SecretReference, SemVer, Size, Url, Uuid, WorkspacePath
from assent.spec.values.canonical import INTEGER_MAX
from assent.spec.words.durations import DURATION_MAX_MS
from tests.support.properties import holds

READY: dict[str, Any] = {
    "email": Email,
    "url": Url,
    "uuid": Uuid,
    "path": WorkspacePath,
    "duration": Duration,
    "size": Size,
    "secret": SecretReference,
    "semver": SemVer,
}
ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(kind) for name, kind in READY.items()}


WRONG: dict[str, list[object]] = {
    "email": ["", "a", "a@b", "a b@c.de", "a@-b.de", "a@b.de\n", f"{'a' * 65}@b.de", 5],
    "url": [
        "example.org",
        "ftp://a.b",
        "javascript:alert(1)",
        "https://",
        "http://a:99999",
        "http://[::1",
        "https://me:pw@a.b",
        "http://a b",
        f"http://a.b/{'x' * 2048}",
    ],
    "uuid": ["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g", None],
    "duration": ["", "5", "1 year", "0s", "32d", "-5s", "1h30m", True, None, 0, 1e300, "1e3s", []],
    "size": ["10", "10 megs", -1, 1.5, "0.5B", 2**53, True, "99999TB", None],
    "secret": ["hunter2", "secret://", "secret://a b", "secret://../x", 5, None],
    "semver": ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0 ", 1.0],
}


def read(kind: str, value: object) -> Any:
    return ADAPTERS[kind].validate_json(json.dumps(value), strict=True)


def refusal(kind: str, value: object) -> Any:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    found = caught.value.errors()
    assert len(found) == 1, "a type of ours says one sentence"
    return found[0]


@pytest.mark.parametrize(
    ("kind", "given", "python"),
    [
        ("email", "first.last+tag@mail.example.org", "first.last+tag@mail.example.org"),
        ("url", "https://example.org", "https://example.org"),
        ("url", "http://[::1]:8080/a?b=c@d#e", "http://[::1]:8080/a?b=c@d#e"),
        ("uuid", "123E4567-e89b-12d3-a456-426614174000", "123E4567-e89b-12d3-a456-426614174000"),
        ("path", "a/b.txt", "a/b.txt"),
        ("duration", "90s", timedelta(seconds=90)),
        ("duration", "1.5h", timedelta(minutes=90)),
        ("duration", 0.25, timedelta(milliseconds=250)),
        ("size", "64KiB", 65536),
        ("size", "1.5 MB", 1_500_000),
        ("size", 0, 0),
        ("size", "0.001kB", 1),
        ("secret", "secret://mail/token", SecretReference("mail/token")),
        ("semver", "2.0.0-rc.1+build.5", "2.0.0-rc.1+build.5"),
    ],
)
def test_what_fits_is_taken_as_it_is_written(kind: str, given: object, python: object) -> None:
    assert read(kind, given) == python
    schema = ADAPTERS[kind].json_schema()
    assert jsonschema_rs.validator_for(schema).is_valid(given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [(kind, value) for kind, values in WRONG.items() for value in values],
)
def test_what_does_not_fit_is_refused_in_one_sentence_that_says_what_is_expected(
    kind: str, given: object
) -> None:
    fault = refusal(kind, given)
    assert fault["type"] == "assent_expected"
    assert fault["msg"] == f"must be {fault['ctx']['expected']}"
    assert "like `" in fault["msg"]


@pytest.mark.parametrize("given", ["", "a" * 4097, 5])
def test_a_workspace_path_is_text_of_a_length_that_systems_take(given: object) -> None:
    with pytest.raises(ValidationError):
        read("path", given)


def test_a_secret_reference_never_shows_its_name() -> None:
    """Who prints or logs one, prints nothing that helps to find the secret."""
    reference = SecretReference("mail/token")
    assert "mail" not in f"{reference} {reference!r} {[reference]}"
    assert reference.text == "secret://mail/token"
    assert ADAPTERS["secret"].json_schema()["writeOnly"] is True
    with pytest.raises(ValueError, match="letters"):
        SecretReference("a b")


class Everything(SpecModel):
    """The types as fields, with defaults in Python's own types."""

    pause: Duration = timedelta(seconds=2)
    limit: Size = 1024
    token: SecretReference = SecretReference("mail/token")


def test_defaults_are_written_as_python_values() -> None:
    assert Everything().model_dump(mode="json") == {
        "pause": "2s",
        "limit": 1024,
        "token": "secret://mail/token",
    }
    with pytest.raises(ValidationError):
        Everything(pause=timedelta(days=40))


TEXTS = st.one_of(
    st.text(max_size=12),
    st.emails(),
    st.uuids().map(str),
    st.from_regex(r"https?://[a-z.]{1,8}(:[0-9]{1,4})?(/[a-z@]{0,4})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}\.[0-9]\.[0-9](-[a-z]{1,3})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,2})? ?(ms|s|m|h|d|B|kB|MiB|x)", fullmatch=True),
    st.from_regex(r"secret://[a-zA-Z0-9./ ]{0,6}", fullmatch=True),
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 2**54), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)


@holds("schema_generation")
@given(st.sampled_from([*READY]), VALUES)
def test_what_a_ready_type_takes_its_schema_takes(kind: str, value: object) -> None:
    """And it comes out in a spelling that both take again, meaning the same."""
    adapter = ADAPTERS[kind]
    valid = jsonschema_rs.validator_for(adapter.json_schema(), validate_formats=False)
    try:
        python = read(kind, value)
    except ValidationError:
        # Bounds of a duration, a port or a size in text are what no pattern can say; nothing else may differ.
        assert kind in {"duration", "size", "url"} or not valid.is_valid(value)
        return
    assert valid.is_valid(value)
    written = adapter.dump_python(python, mode="json")
    assert valid.is_valid(written)
    assert read(kind, written) == python


@given(st.integers(1, DURATION_MAX_MS))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert read("duration", ADAPTERS["duration"].dump_python(value, mode="json")) == value


@given(st.integers(0, INTEGER_MAX))
def test_a_size_survives_being_written(size: int) -> None:
    assert read("size", size) == size
    if size <= INTEGER_MAX // 1024:
        assert read("size", f"{size}KiB") == size * 1024


@pytest.mark.parametrize("name", READY)
def test_a_ready_type_may_be_left_out(name: str) -> None:
    """`Size | None` is written as with any other type."""
    adapter: TypeAdapter[Any] = TypeAdapter(READY[name] | None)
    assert adapter.validate_python(None) is None
