"""The embedded driver: what keeps runs going."""
