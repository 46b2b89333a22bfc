"""What a step says of itself, whatever stands around it: its capability, how it is retried, who is asked."""

from __future__ import annotations

import re
from typing import Final

from assent.errors import InputError
from assent.spec.decision import Approvers
from assent.spec.documents.sections import Section
from assent.spec.words.articles import with_article
from assent.spec.words.reference import CapabilityReference
from assent.spec.workflow._steps import ApprovalSpec, Backoff, Retry

ATTEMPTS_MAX: Final = 100
ERROR_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{1,63}\Z")


def read_capability_id(section: Section, key: str) -> str:
    text = section.text(key)
    if not isinstance(section.data.get(key), str):
        return text
    try:
        CapabilityReference.parse(text)
    except InputError as error:
        if error.code == "INVALID_VERSION":
            section.fault(error.code, error.message, key, hint=error.hint)
        else:
            what = "capability (like `io.fs.write_file` or `io.fs.write_file@1.0.0`)"
            section.fault("VALUE_INVALID", f"`{text[:80]}` is not {with_article(what)}", key)
    return text


def read_retry(section: Section | None) -> Retry:
    if section is None:
        return Retry()
    section.known_keys(("max_attempts", "backoff", "on"))
    codes = section.texts("on")
    for index, code in enumerate(codes):
        if not ERROR_CODE.match(code):
            section.fault(
                "VALUE_INVALID",
                f"`{code[:80]}` is not an error code",
                "on",
                index,
                hint="e.g. `STEP_TIMEOUT`",
            )
    attempts = section.whole("max_attempts", 3, least=1, most=ATTEMPTS_MAX)
    return Retry(attempts, read_backoff(section.section("backoff", "`backoff`")), codes)


def read_backoff(section: Section | None) -> Backoff:
    default = Backoff()
    if section is None:
        return default
    section.known_keys(("initial", "factor", "max", "jitter"))
    return Backoff(
        initial_ms=section.duration_ms("initial") or default.initial_ms,
        factor=section.number("factor", default.factor, least=1, most=100),
        max_ms=section.duration_ms("max") or default.max_ms,
        jitter=section.number("jitter", default.jitter, least=0, most=1),
    )


def read_approval(section: Section) -> ApprovalSpec:
    value = section.data["approval"]
    if isinstance(value, str):
        return ApprovalSpec(value)
    below = section.section("approval", "`approval`")
    if below is None:
        return ApprovalSpec("")
    below.known_keys(("reason", "approvers"))
    if not below.has("reason"):
        below.fault("MISSING_KEY", "`approval` gives no `reason`", hint="say what the person decides about")
    return ApprovalSpec(below.text("reason"), Approvers.read(below.section("approvers", "`approvers`")))
