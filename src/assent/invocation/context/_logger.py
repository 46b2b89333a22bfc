"""The logger of a call. Apart, because most calls log nothing and the library costs time to load."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from assent.secrets.redaction import Redactor

LOGGER: Final = logging.getLogger("assent.call")
# Whoever runs the program decides where its log goes. Without this the library would print to stderr, between the answers.
LOGGER.addHandler(logging.NullHandler())


class CallLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the call's ids to each record, beside whatever `extra` the caller gives, and lets no secret into one."""

    def __init__(self, ids: Mapping[str, object], redactor: Redactor) -> None:
        super().__init__(LOGGER, ids)
        self._redactor = redactor

    # `Any`: the adapter's own signature.
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The message as it is; `extra` with the ids, which win."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:  # `Any`: as above
        """One record; once a secret was handed out, one whose text, traceback and `extra` are made here and hidden."""
        if not self.isEnabledFor(level):
            return
        if self._redactor.is_active:
            msg, args = self._text(msg, args, kwargs), ()
            hide = self._redactor.json
            extra = kwargs.get("extra") or {}
            kwargs["extra"] = {key: hide(value) for key, value in extra.items()}
        # The record's place is the caller's: this method is one step more between the two.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        super().log(level, msg, *args, **kwargs)

    def _text(self, msg: object, args: tuple[object, ...], kwargs: dict[str, Any]) -> str:
        made = logging.LogRecord("", 0, "", 0, msg, args, None).getMessage()
        error = kwargs.pop("exc_info", None)
        if error:
            lines = (
                traceback.format_exception(error)
                if isinstance(error, BaseException)
                else [traceback.format_exc()]
            )
            made = f"{made}\n{''.join(lines).rstrip()}"
        # A percent sign that is left stays one: without arguments the library does not format.
        return self._redactor.text(made)
