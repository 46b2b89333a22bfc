"""What an auditor does with a ledger: read its log, verify it, prove from it, export it, accept its end."""
