"""The read model of findings: what every dataset brought and what was decided, folded from the acts that the ledger has."""

from assent.findings._sqlite import waiting_until, working_until
from assent.findings.book._book import Dataset, Mark, Writing
from assent.findings.book._comparing import Difference
from assent.findings.book._digest import contents
from assent.findings.book._file import BookFile, forget
from assent.findings.book._looking import PAGE_MAX, Brought, Kept, Looking, Wanted, entered
from assent.findings.book._removal import Removal, Removed
from assent.findings.book._resources import Found

__all__ = [
    "PAGE_MAX",
    "BookFile",
    "Brought",
    "Dataset",
    "Difference",
    "Found",
    "Kept",
    "Looking",
    "Mark",
    "Removal",
    "Removed",
    "Wanted",
    "Writing",
    "contents",
    "entered",
    "forget",
    "waiting_until",
    "working_until",
]
