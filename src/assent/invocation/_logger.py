"""The logger of a call. Apart, because most calls log nothing and the library costs time to load."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

LOGGER: Final = logging.getLogger("assent.call")
# Whoever runs the program decides where its log goes. Without this the library would print to stderr, between the answers.
LOGGER.addHandler(logging.NullHandler())


class CallLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the call's ids to each record, beside whatever `extra` the caller gives."""

    def __init__(self, ids: Mapping[str, object]) -> None:
        super().__init__(LOGGER, ids)

    # `Any`: the adapter's own signature.
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The message as it is; `extra` with the ids, which win."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs
