"""Commands that read and check what is on the record: the ledger, and webhooks on their way."""
