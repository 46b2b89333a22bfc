"""The data capabilities, described. They read text or files and give text or data; nothing is ever written by them.

What they give is written to a file by `io.fs.write_file`, so that the change is one of its own: gated, journaled and undoable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from assent.capabilities.data import _work
from assent.capabilities.data._formats import JSON, TOML, YAML, Format
from assent.capabilities.describing import reads
from assent.invocation import Capability

_computes = partial(reads, timeout=60)
_looks = partial(_computes, labels=("reads_private",))


def _of(form: Format, render: Callable[..., object]) -> Iterator[Capability[..., Any]]:
    """The capabilities of one format; `Any`: each has its own result."""
    work, prefix, name = _work.Work(form), f"data.{form.name}", form.name.upper()
    yield _looks(f"{prefix}.parse", f"Read {name} text, or a file, into data", work.parse)
    yield _computes(f"{prefix}.render", f"Write data as {name}", render)
    yield _looks(f"{prefix}.query", f"Take what a JMESPath expression names from {name}", work.query)
    yield _looks(f"{prefix}.merge", f"Lay {name} data over other, by RFC 7386 or deeply", work.merge)
    changed = f"Change {name} data by the operations of RFC 6902, all of them or none"
    yield _looks(f"{prefix}.patch", changed, work.patch)
    checked = f"Check {name} data against a JSON Schema, and tell every fault with its place"
    yield _looks(f"{prefix}.validate", checked, work.validate)


READ_IN_PLANS: Final = True
"""See `is_read_in_plans`."""

CAPABILITIES: Final = (
    *_of(JSON, _work.render_json),
    *_of(YAML, _work.render_yaml),
    *_of(TOML, _work.render_toml),
    _looks("data.csv.parse", "Read CSV text, or a file, into rows", _work.parse_csv),
    _computes("data.csv.render", "Write rows as CSV, guarded against formulas", _work.render_csv),
    _looks("data.csv.query", "Take what a JMESPath expression names from the rows of CSV", _work.query_csv),
    _looks(
        "data.csv.merge", "Lay rows of CSV over others, row by row as key columns name them", _work.merge_csv
    ),
    _looks(
        "data.csv.patch", "Change the rows of CSV by the operations of RFC 6902, all or none", _work.patch_csv
    ),
    _looks(
        "data.csv.validate", "Check the rows of CSV against a JSON Schema of their list", _work.validate_csv
    ),
)
