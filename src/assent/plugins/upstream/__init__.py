"""MCP servers of others: their tools are pinned, judged and called as capabilities like any other."""

from assent.plugins.upstream._capabilities import CONTENT, capability_of
from assent.plugins.upstream._client import Connection, Open, Reveal
from assent.plugins.upstream._frames import events, field
from assent.plugins.upstream._listing import Listing
from assent.plugins.upstream._live import Link
from assent.plugins.upstream._passed import passed_of
from assent.plugins.upstream._pipes import Pipes
from assent.plugins.upstream._servers import (
    Pinned,
    Server,
    ToolSettings,
    digest_of,
    load_pins,
    save_pins,
)
from assent.plugins.upstream._talk import ASKS_SECRET, SERVER, TASKS, Talk
from assent.plugins.upstream._tools import Tool, capability_id, tools_of, warnings_of
