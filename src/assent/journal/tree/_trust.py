"""Whom a verifier believes: the keys of logs, the witnesses, and how many of them must have seen a checkpoint.

The text form is the one transparency logs share:

    log VKEY
    witness NAME VKEY
    group NAME any|all|COUNT MEMBER…        members are witnesses or groups that stand above
    quorum NAME|none
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from assent.errors import InputError
from assent.journal.tree._checkpoint import Checkpoint, open_checkpoint
from assent.journal.tree._cosignature import verifier_from_vkey
from assent.journal.tree._note import Note, Verifier


class Group(msgspec.Struct, frozen=True):
    """Met when at least `needed` of its members (witnesses or groups) are."""

    needed: int
    members: tuple[str, ...]


class CosignedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint that its log has signed and enough witnesses have seen."""

    checkpoint: Checkpoint
    note: Note
    cosigners: tuple[str, ...]
    """The policy's names of the witnesses that cosigned."""


class TrustPolicy(msgspec.Struct, frozen=True):
    """Keys and quorum. Without a quorum the log's own signature is enough."""

    logs: tuple[Verifier, ...]
    witnesses: Mapping[str, Verifier] = msgspec.field(default_factory=dict)
    groups: Mapping[str, Group] = msgspec.field(default_factory=dict)
    quorum: str | None = None

    @classmethod
    def of_keys(cls, *vkeys: str) -> TrustPolicy:
        """Believe these logs on their word alone."""
        return cls(tuple(verifier_from_vkey(vkey) for vkey in vkeys))

    @classmethod
    def parse(cls, text: str) -> TrustPolicy:
        """The policy of a text; `InputError` `TRUST_POLICY_INVALID` with the line, or `KEY_INVALID`."""
        logs: list[Verifier] = []
        witnesses: dict[str, Verifier] = {}
        groups: dict[str, Group] = {}
        quorums: list[str] = []
        for number, line in enumerate(text.splitlines(), start=1):
            match line.split():
                case []:
                    pass
                case [word, *_] if word.startswith("#"):
                    pass
                case ["log", vkey] | ["log", vkey, _]:
                    logs.append(verifier_from_vkey(vkey))
                case ["witness", name, vkey] | ["witness", name, vkey, _] if _is_new(name, witnesses, groups):
                    witnesses[name] = verifier_from_vkey(vkey)
                case ["group", name, count, *members] if members and _is_new(name, witnesses, groups):
                    groups[name] = _group(number, count, members, {*witnesses, *groups})
                case ["quorum", name] if name == "none" or name in witnesses or name in groups:
                    quorums.append(name)
                case _:
                    word = line.split()[0]
                    raise _invalid(number, f"a line that can't be read, beginning with `{word[:40]}`")
        if not logs or len(quorums) != 1:
            raise InputError(
                "TRUST_POLICY_INVALID", "a trust policy has at least one `log` and exactly one `quorum`"
            )
        return cls(tuple(logs), witnesses, groups, None if quorums == ["none"] else quorums[0])

    def open(self, note: bytes | str) -> CosignedCheckpoint:
        """The checkpoint, after checking the log's signature and that the quorum has cosigned.

        Raises `InputError`: what `open_checkpoint` raises, and `QUORUM_MISSING`.
        """
        opened = open_checkpoint(note, self.logs, witnesses=list(self.witnesses.values()))
        signers = {(signature.name, signature.key_id) for signature in opened.note.verified}
        cosigners = tuple(
            name for name, witness in self.witnesses.items() if (witness.name, witness.key_id) in signers
        )
        if self.quorum is not None and not self._is_met(self.quorum, frozenset(cosigners)):
            raise InputError(
                "QUORUM_MISSING",
                f"the quorum `{self.quorum}` has not cosigned this checkpoint",
                hint="without its witnesses, a log could show everybody another history",
                details={"cosigners": list(cosigners)},
            )
        return CosignedCheckpoint(opened.checkpoint, opened.note, cosigners)

    def _is_met(self, name: str, cosigners: frozenset[str]) -> bool:
        # Groups name only what stands above them, so this recursion ends.
        group = self.groups.get(name)
        if group is None:
            return name in cosigners
        return sum(self._is_met(member, cosigners) for member in group.members) >= group.needed


def _is_new(name: str, witnesses: Mapping[str, Verifier], groups: Mapping[str, Group]) -> bool:
    return name != "none" and name not in witnesses and name not in groups


def _group(line: int, count: str, members: list[str], known: set[str]) -> Group:
    unknown = [member for member in members if member not in known]
    if unknown or len(set(members)) != len(members):
        raise _invalid(
            line, f"a group whose members are not distinct names from above: `{' '.join(members)[:80]}`"
        )
    if count == "any":
        return Group(1, tuple(members))
    if count == "all":
        return Group(len(members), tuple(members))
    if not (count.isascii() and count.isdigit() and 1 <= int(count) <= len(members)):
        raise _invalid(line, f"a group that asks for `{count[:20]}` of {len(members)} members")
    return Group(int(count), tuple(members))


def _invalid(line: int, fault: str) -> InputError:
    return InputError("TRUST_POLICY_INVALID", f"the trust policy has {fault}", path=f"line {line}")
