"""The ledger's tables as the writer sees them: what a batch reads, and what it changed."""
