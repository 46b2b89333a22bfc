"""The shape of a CapabilitySpec: its JSON Schema, which is also the reference of its fields."""

from __future__ import annotations

from assent.errors import Json
from assent.spec.capability import SPEC_VERSION, OperationType
from assent.spec.ids import CAPABILITY_ID, LABEL, SEMVER
from assent.spec.risk import RiskLevel
from assent.spec.schemas.written import choice, document, flag, key, listed, mapping, part, text


def capability_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a spec as `capability show --json` prints it."""
    label = text(LABEL, "a word")
    schema: dict[str, Json] = {"title": "a JSON Schema", "type": "object"}
    nothing: dict[str, Json] = {"type": "null"}
    own = {
        "spec_version": key(
            {"const": SPEC_VERSION, "title": f"`{SPEC_VERSION}`"}, "the version of this format"
        ),
        "id": key(text(CAPABILITY_ID, "dotted, like `io.fs.write_file`"), "what it is called"),
        "version": key(text(SEMVER, "a semantic version"), "a changed spec is another version", "1.0.0"),
        "name": key(text(), "its name for people"),
        "description": key(text(), "what it does; an agent chooses by it"),
        "operation_type": key(choice(*OperationType), "what kind of act it is; only `READ` changes nothing"),
        "parameters": key(schema, "the inputs that it takes"),
        "returns": key(schema, "what it gives back"),
        "side_effects": key(part("side_effects"), "what the act changes"),
        "compensation": key(part("compensation"), "how the act is taken back"),
        "risk": key(part("risk"), "how dangerous it is"),
        "idempotent": key(flag(), "twice does the same as once, so it may be tried again", default=False),
        "timeout": key(
            {"title": "seconds, more than 0, at most 31 days", "anyOf": [_seconds(), nothing]},
            "bounds one attempt",
        ),
        "labels": key(
            listed(label, "a list of words"),
            "where information flows: `reads_private`, `reads_untrusted`, `sends_external`, and others for your rules",
        ),
        "sandbox": key({"title": "a mapping", "type": "object"}, "what its process may reach"),
        "secrets": key(
            listed(label, "a list of names"), "the secrets that it is given, where they are granted"
        ),
    }
    parts: dict[str, Json] = {
        "capability": mapping(
            "One version of one capability.", own, "id", "operation_type", "side_effects", "risk"
        ),
        "side_effects": mapping(
            "What the act changes.",
            {
                "reversible": key(flag(), "its own `compensate` restores the earlier state exactly"),
                "scope": key(text(), "the part of the world: `filesystem`, `network` …"),
                "description": key(text(), "what changes, in a sentence"),
            },
            "reversible",
        ),
        "compensation": mapping(
            "How the act is taken back. Where it is supported it has a strategy; where it is not it has neither of the others.",
            {
                "supported": key(flag(), "there is a way back", default=False),
                "strategy": key(
                    {"title": "text", "type": ["string", "null"]}, "the way, in a word: `restore_pre_image`"
                ),
                "capability_id": key(
                    {"title": "an id", "type": ["string", "null"]}, "the capability that offsets the act"
                ),
            },
        ),
        "risk": mapping(
            "How dangerous the act is, and why.",
            {
                "level": key(choice(*RiskLevel), "the least risk that the gate is told"),
                "justification": key(text(), "why it is no more, and no less"),
                "requires_approval": key(flag(), "acts like HIGH, whatever the level", default=False),
            },
            "level",
        ),
    }
    return document(f"capability:{SPEC_VERSION}", "Assent capability, version 3", "capability", parts)


def _seconds() -> dict[str, Json]:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": 31 * 24 * 3600}
