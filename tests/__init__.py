"""The tests of Assent: they mirror `src/`, with `contract/ property/ golden/ crash/ e2e/` beside the mirror."""
