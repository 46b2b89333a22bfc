"""What an agent does with tools of its own, as acts that the gate decides about. Nothing here acts: the agent's program does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.agent._barrier import Barrier as Barrier


__getattr__, __dir__ = resolved_when_asked(__name__, {"._barrier": "Barrier"})
