"""Secrets: who may have one, where it is fetched, and how it is kept out of everything that is written or shown."""
