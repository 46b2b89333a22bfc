"""One call, from start to end: bound, validated, gated, performed, ended."""
