"""The ledger as one SQLite file, or in memory: what is stored, written and read, and what of it is vouched for."""
