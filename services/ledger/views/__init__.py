"""What may be asked of the ledger: reads over its database, as ``contracts/answers`` has them."""
