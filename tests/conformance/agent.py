"""`agent.*`: what an agent's own tools do is permitted here, and done elsewhere."""

from __future__ import annotations

from typing import Final

from tests.conformance.case import Case, Cell, Escape

_AT_ONCE: Final = "ends at once: it only puts on record what was permitted"
_LEFT: Final = "leaves nothing that a kill could cut short: its outcome is all there is"
_DONE_ELSEWHERE: Final = "reaches for nothing itself: the agent's own program does, which may confine it"
_OURS: Final = (
    "assent.toml",
    "policy.yaml",
    "sub/.assent",
    ".claude/settings.json",
    "sub/.claude/Settings.local.json",
    ".mcp.json",
)
_SECRET: Final = (".assent/ledger.db", ".assent/nothing")

CASES: Final = (
    Case(
        "agent.shell",
        {"tool": "Bash", "command": "make", "cwd": "src"},
        bad=[{"tool": "Bash", "command": ""}, {"tool": "", "command": "make"}],
        without={Cell.RECONCILE: _LEFT, Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: _DONE_ELSEWHERE},
    ),
    Case(
        "agent.edit",
        {"tool": "Write", "path": "src/a.py", "input": {"content": "print()\n"}},
        bad=[{"tool": "Write", "path": ""}],
        escapes=[Escape({"tool": "Write", "path": path}, "PATH_PROTECTED") for path in (*_OURS, *_SECRET)],
        without={Cell.RECONCILE: _LEFT, Cell.TIMEOUT: _AT_ONCE},
    ),
    Case(
        "agent.read",
        {"tool": "Read", "path": "src/a.py"},
        bad=[{"tool": "Read", "path": 1}],
        escapes=[Escape({"tool": "Read", "path": path}, "PATH_PROTECTED") for path in _SECRET],
        without={Cell.TIMEOUT: _AT_ONCE},
    ),
    Case(
        "agent.fetch",
        {"tool": "WebFetch", "url": "https://example.org/"},
        bad=[{"tool": "WebFetch", "url": "file:///etc/passwd"}],
        without={Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: _DONE_ELSEWHERE},
    ),
    Case(
        "agent.tool",
        {"tool": "mcp__github__create_issue", "input": {"title": "it is broken"}},
        bad=[{"tool": "mcp", "input": []}],
        without={Cell.RECONCILE: _LEFT, Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: _DONE_ELSEWHERE},
    ),
    Case(
        "agent.outcome",
        {"tool": "Bash", "outcome": "failed", "request": "hook:7f3a", "error": "Exit code 3"},
        bad=[{"outcome": "perhaps"}, {"tool": "Bash", "outcome": "ok"}],
        without={Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: _DONE_ELSEWHERE},
    ),
    Case(
        "agent.plan",
        {"tool": "TodoWrite", "input": {"todos": []}},
        bad=[{"tool": "TodoWrite", "input": None}],
        without={Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: _DONE_ELSEWHERE},
    ),
)
