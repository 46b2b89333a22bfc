"""The numbered correctness properties of the runtime, and the mark that a test holds one of them.

`docs/properties.md` is generated from this list and from the tests that carry the mark (`tools/write_properties.py`). A number is
never given twice, and never to another property: people refer to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

PROPERTIES: Final[dict[str, tuple[int, str]]] = {
    "handler_signature": (
        1,
        "A handler's part takes what its signature names, and no other shape is accepted.",
    ),
    "manifest_completeness": (2, "A manifest names everything that the code it describes declares."),
    "id_uniqueness": (3, "No two ids of one runtime are equal, and later ones sort after earlier ones."),
    "error_isolation": (4, "An error of one call shows in that call and in no other."),
    "timeout_cleanup": (
        5,
        "A call past its limit is cancelled, cleaned up once, and leaves nothing running.",
    ),
    "schema_generation": (6, "What a type accepts, the schema made from it accepts, and nothing else."),
    "input_validation": (7, "Inputs that do not fit the type never reach the gate or the handler."),
    "output_validation": (8, "An output that does not fit the type fails the call and counts as an effect."),
    "error_shape": (9, "Every fault has a path, what was expected, what was there, and a message."),
    "breaking_change_detection": (
        10,
        "A change is breaking exactly when a value of an old caller can be refused.",
    ),
    "several_versions": (
        11,
        "Versions of one capability stand side by side, in the order of their precedence.",
    ),
    "transformer_execution": (
        12,
        "Transformers run in order, between neighbours, and change nothing they are given.",
    ),
    "lifecycle_events": (13, "What starts has exactly one end or error, inside what started around it."),
    "snapshot_completeness": (
        14,
        "A snapshot holds the whole state of a call, and nothing later changes it.",
    ),
    "context_operations": (15, "A call's private state behaves as a mapping that no other call sees."),
    "hook_registration": (
        16,
        "A registered hook runs for the calls of its level, once for each, and for no other.",
    ),
    "hook_order": (17, "Hooks run global, capability, local; after, catch and finally in exact reverse."),
    "metadata": (18, "What a call says of itself is complete from its first moment to its last."),
    "module_registry": (19, "A module is registered once, found by its type, started and stopped in order."),
    "secret_caching": (20, "A secret is fetched once in its time to live, and again when it is forced."),
    "metrics": (21, "Counts of calls and errors equal what happened, whatever was dropped on the way."),
    "config_immutability": (22, "Nothing in a configuration can be changed at any depth."),
    "version_resolution": (23, "A reference means the same version as a plain search over all of them."),
    "rate_limit": (24, "Within any window no more calls pass than the limit, and clients do not share one."),
    "authentication": (
        25,
        "An identity that is not mapped to the caller is asserted, and strict mode refuses it.",
    ),
    "manifest_caching": (
        26,
        "A cached manifest equals a fresh one, and changes with any byte it was read from.",
    ),
    "hook_recording": (27, "Each run of a hook is recorded with its level, attempts and outcome."),
    "capability_declaration": (28, "A part without a claim and a claim without a part are both refused."),
    "secret_access": (
        29,
        "A secret is given to whom it is granted, and each access is logged before the value is given.",
    ),
    "audit_completeness": (30, "Every call leaves its decision, its intent and its outcome in the ledger."),
    "backpressure": (31, "A full channel drops the oldest and counts it; it never waits and never grows."),
    "replay": (
        32,
        "A recorded run replayed against its own outputs comes to the same decisions and outcomes.",
    ),
    "version_diff": (
        33,
        "Equal schemas have no difference; the difference of two names every changed place.",
    ),
    "restore_fidelity": (34, "Restoring a snapshot gives an equal context, however often it is done."),
    "canonical_form": (
        35,
        "Canonical bytes are those of RFC 8785 and read back as the value they were made from.",
    ),
    "fingerprints": (36, "Equal contents have one fingerprint, whatever the order they were written in."),
    "risk_consistency": (37, "A spec exists exactly when it breaks no risk rule."),
    "principals": (38, "A principal prints as type and id, and reads back as itself."),
    "documents": (
        39,
        "Any text is read as data or refused with one of our errors, and nothing else comes out.",
    ),
    "expressions": (
        40,
        "Any expression gives JSON or an expression error, also when it is not an expression.",
    ),
    "references": (41, "A reference gives what CEL gives, and text that is none comes out as it was."),
    "merkle_tree": (42, "The tree's root is that of its definition, however the leaves came in."),
    "inclusion": (43, "Every leaf has a proof, and the proof proves nothing else."),
    "consistency": (44, "Every earlier tree has a consistency proof, and a rewritten one has none."),
    "signatures": (45, "What was signed can be opened, and no changed character goes unnoticed."),
    "commitments": (46, "Other bytes or another salt make another commitment."),
    "pre_images": (47, "What was kept is read back by its digest, byte for byte."),
    "tamper_detection": (48, "Any changed cell of the ledger is found without the key."),
    "projections": (49, "The rows that follow from the events equal the rows that a living run wrote."),
    "first_match": (50, "The index decides as a plain scan of the rules does."),
    "fail_closed": (51, "Whatever fails while deciding denies with POLICY_ERROR, and absence opens nothing."),
    "narrowing": (52, "Adding a DENY first never widens access."),
    "pure_decisions": (53, "Deciding twice gives the same and changes nothing."),
    "foresight": (54, "A decision foretold is the decision, whatever the unknown inputs turn out to be."),
    "explanations": (55, "The explanation of a decision agrees with the decision."),
    "compensation": (
        56,
        "Every effect of a failed run is taken back exactly once, or parked with its reason.",
    ),
    "undo": (57, "What is done and taken back in reverse leaves no trace."),
    "simulation": (58, "What is imagined equals what then happens."),
    "foreign_changes": (59, "Nobody else's change is overwritten by taking back one's own."),
    "terminal_safety": (60, "No text can drive the terminal or break a line of what is shown."),
    "one_question": (61, "A plan, an explanation and the run come to one decision, rule, risk and undo."),
    "one_identity": (62, "Findings of two hosts are never one, and one matter keeps its fingerprint."),
    "resource_references": (
        63,
        "A reference to a resource is read as it is written, and every text that is none is refused.",
    ),
    "nearest_resource": (
        64,
        "A resource is the one of the nearest scope in force that has it, and never one that is retired.",
    ),
    "findings_store": (
        65,
        "The store of findings is what the ledger as it is now folds to, whatever was done, taken back or erased.",
    ),
}
"""Name → number and sentence."""


def holds(*names: str) -> Callable[[Test], Test]:
    """Mark a test as one that holds the named properties; an unknown name is refused."""
    unknown = [name for name in names if name not in PROPERTIES]
    assert not unknown, f"no such property: {unknown}"

    def marked(test: Test) -> Test:
        return test

    return marked
