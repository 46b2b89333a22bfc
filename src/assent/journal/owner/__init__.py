"""One owner per state directory, and what travels between it and the processes that ask it."""
