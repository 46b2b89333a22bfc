"""The rules of a run, by who speaks: the shell, people, and what follows by itself."""
