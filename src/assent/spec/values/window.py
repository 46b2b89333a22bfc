"""What has been used within a time, for each client: exact, in bounded memory, without a clock of its own.

The window slides: at any moment what was used in the last `length_ms` counts, so within no window of that length more passes than
is let pass.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

import msgspec

REMEMBERED_MAX: Final = 1_000_000
"""Uses that one window remembers, of all clients together."""

Key: TypeAlias = tuple[str, ...]


class _Client(msgspec.Struct):
    """What one client used, oldest first: when, and how much."""

    uses: deque[tuple[int, int]] = msgspec.field(default_factory=deque)
    total: int = 0


class Window(msgspec.Struct):
    """What still counts, by client; the client that used last stands last."""

    length_ms: int
    clients: dict[Key, _Client] = msgspec.field(default_factory=dict)
    remembered: int = 0
    full_until_ms: int = 0
    """Nothing was found to let go of before: looking through a full window again for each use would hold everybody up."""

    def used(self, key: Key, now_ms: int) -> int:
        """What the client has used within the window."""
        found = self.clients.get(key)
        if found is None:
            return 0
        self._drop_old(found, now_ms)
        return found.total

    def wait_ms(self, key: Key, now_ms: int, excess: int) -> int:
        """How long until so much of what the client has used counts no more; the whole window where it has used less."""
        found = self.clients.get(key)
        for at_ms, amount in found.uses if found is not None else ():
            excess -= amount
            if excess <= 0:
                return at_ms + self.length_ms - now_ms
        return self.length_ms

    def wait_for_room_ms(self, now_ms: int) -> int:
        """How long until another use can be remembered; 0 when it can. A window that is full of what counts takes no more."""
        if self.remembered < REMEMBERED_MAX:
            return 0
        if now_ms < self.full_until_ms:
            return self.full_until_ms - now_ms
        for key in [*self.clients]:
            client = self.clients[key]
            self._drop_old(client, now_ms)
            if not client.uses:
                del self.clients[key]
        if self.remembered < REMEMBERED_MAX:
            return 0
        self.full_until_ms = min(client.uses[0][0] for client in self.clients.values()) + self.length_ms
        return self.full_until_ms - now_ms

    def add(self, key: Key, at_ms: int, amount: int = 1) -> None:
        """Count a use, no older than what was counted before. One of nothing is not remembered."""
        if not amount:
            return
        found = self.clients.pop(key, None)
        if found is None:
            self._forget_idle(at_ms)
            found = _Client()
        found.uses.append((at_ms, amount))
        found.total += amount
        self.remembered += 1
        self.clients[key] = found

    def take_back(self, key: Key, at_ms: int, amount: int) -> None:
        """Count a use no more that came to nothing."""
        found = self.clients.get(key)
        if found is not None and (at_ms, amount) in found.uses:
            found.uses.remove((at_ms, amount))
            found.total -= amount
            self.remembered -= 1

    def _drop_old(self, found: _Client, now_ms: int) -> None:
        uses = found.uses
        while uses and now_ms - uses[0][0] >= self.length_ms:
            found.total -= uses.popleft()[1]
            self.remembered -= 1

    def _forget_idle(self, now_ms: int) -> None:
        """Let go of the clients whose uses no longer count. They stand first, because the last to use stands last."""
        while self.clients:
            key = next(iter(self.clients))
            uses = self.clients[key].uses
            if uses and now_ms - uses[-1][0] < self.length_ms:
                return
            self.remembered -= len(self.clients.pop(key).uses)
