"""What every event has in common."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from assent.spec.ids import Commitment


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", gc=False):
    """What every event has in common: its kind (the tag) and the payloads it binds.

    `gc=False`, here and on `Leaf`: frozen values of strings and integers can't form cycles, and a fold over a long ledger would
    otherwise spend half its time in the collector.
    """

    commitment_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def kind(self) -> str:
        """`subject.past_verb`."""
        return str(self.__struct_config__.tag)

    def commitments(self) -> list[Commitment]:
        """The payloads that this event binds, in field order."""
        return [value for name in self.commitment_fields if (value := getattr(self, name)) is not None]
