"""Codes of what the calls of one runtime share: modules, configuration, shared state, secrets, rate limits."""

from __future__ import annotations

from assent.errors._explanation import Explanation

APP_CODES: dict[str, Explanation] = {
    "MODULE_REGISTERED": Explanation(
        "A module or health check of that name is there already.",
        "Register it once; whoever needs it asks with `app.get`.",
    ),
    "MODULE_UNKNOWN": Explanation(
        "A part asked for a module that nobody registered.",
        "Register it with `app.register`, or mend the name; the hint shows what is close.",
    ),
    "MODULE_NOT_STARTED": Explanation(
        "A part asked for a module before it was started.",
        "Give the module a higher priority than what asks for it, or call `app.start()` after registering it.",
    ),
    "MODULE_INVALID": Explanation(
        "What was registered as a module is not what it was registered as, or is neither an instance nor a factory.",
        "Register an instance of the type, or a factory that makes one.",
    ),
    "MODULE_START_FAILED": Explanation(
        "A module's factory failed or took too long; those started before it were closed again, in reverse.",
        "Mend what `details.cause` tells and start again.",
    ),
    "MODULE_FAILED": Explanation(
        "A module raised something of its own; the message is its own too.",
        "Mend the module.",
    ),
    "SHUTDOWN_INCOMPLETE": Explanation(
        "Closing some modules failed or took too long; all others were closed.",
        "Look at each in `details.failures`.",
    ),
    "TIME_LIMIT": Explanation(
        "A function of a module took longer than it may.",
        "Mend what is slow or hangs.",
    ),
    "LISTENERS_FAILED": Explanation(
        "A new configuration came into force, and parts that were told of it failed.",
        "Look at each in `details.failures`; the configuration holds.",
    ),
    "SHARED_STATE_TAKEN": Explanation(
        "A shared value has one owner, and that name has one already.",
        "Read it, or claim another name.",
    ),
    "SHARED_STATE_UNKNOWN": Explanation(
        "Nobody shares a value of that name.",
        "Mend the name, or let its owner claim it first.",
    ),
    "SHARED_STATE_RELEASED": Explanation(
        "A part wrote a shared value after it had given it back.",
        "Claim it again before writing.",
    ),
    "SHARED_STATE_FULL": Explanation(
        "More values would be shared than one runtime keeps.",
        "Share one value with many entries instead of many values.",
    ),
    "SECRET_NOT_GRANTED": Explanation(
        "A handler asked for a secret that neither its capability's spec nor assent.toml grants it, or to send it to a host "
        "that the secret is not bound to; the attempt is on the record.",
        "If it should have it: name the secret under `secrets` of the spec, or the capability in the secret's table.",
    ),
    "SECRET_TOO_EARLY": Explanation(
        "A `preview`, a `prepare` or a hook asked for a secret: values are resolved at execution only.",
        "Ask for it in `execute`, `reconcile` or `compensate`; a preview shows the reference as it is written.",
    ),
    "SECRET_NAME_INVALID": Explanation(
        "What stands where a secret's name should be can't be one. It is not repeated: it may be a value in the wrong place.",
        "Use letters, digits and `._-/`, at most 128, starting with a letter or digit; `vault` is taken by its settings.",
    ),
    "SECRET_IN_ARGUMENTS": Explanation(
        "A value stood on the command line, where other processes and the shell's history can see it. It was not used.",
        "Choose another value, and type it when asked or pipe it in with `--from-stdin`.",
    ),
    "SECRET_VALUE_MISSING": Explanation(
        "A secret was to be stored, no value was piped in, and there is no terminal to ask at.",
        "Pipe the value in with `--from-stdin`.",
    ),
    "SECRET_VALUE_INVALID": Explanation(
        "A value can't be stored: it is empty, longer than 64 KiB, or no UTF-8 text.",
        "Encode binary keys, for example as base64.",
    ),
    "SECRET_EXPOSED": Explanation(
        "A secret's value, which this process has handed out before, stands in inputs, in what would be written to a file, or in "
        "what an undo would keep. All of them are kept as they are, so the step was refused before anything was.",
        "In inputs write a reference, `secret://NAME`, in a field that takes one. Take a value out of the file that holds it; "
        "`undo: none` deletes or replaces a file without keeping it.",
    ),
    "SECRET_AMBIGUOUS": Explanation(
        "Two names of secrets mean the same environment variable, so that one would silently get the other's value.",
        "Say in assent.toml where one of them is kept.",
    ),
    "SECRET_FILE_UNSAFE": Explanation(
        "A file that should hold a secret is a link, somebody else's, open to others, too large, or no text.",
        "Make it a regular file of your own with mode 0600, and name it by its real path.",
    ),
    "SECRET_EXTRA_MISSING": Explanation(
        "A secret is kept where only an optional library reaches, and that is not installed.",
        "Install the extra that the hint names.",
    ),
    "SECRET_NOT_WRITABLE": Explanation(
        "A secret is kept in the environment or in Vault, which Assent reads and never writes.",
        "Set it there, or keep it in a file or in the keychain.",
    ),
    "SECRET_ROTATING": Explanation(
        "A secret was replaced, and the value before is still kept because nobody confirmed the new one.",
        "Confirm the new value, or take it back.",
    ),
    "SECRET_MISSING": Explanation(
        "No provider has a secret of that name.",
        "Set it where the hint says, or mend the name.",
    ),
    "SECRET_UNAVAILABLE": Explanation(
        "A provider failed while a secret was fetched, and no other had it. What it said is not shown: it may hold the value.",
        "Look at the provider named in the message, and try again.",
    ),
    "RATE_LIMITED": Explanation(
        "More calls would have had an effect within a time than `[limits.rate]` lets pass; this one had none.",
        "Try again when the hint says, or give the step a `retry` whose `on` lists the code.",
    ),
}
