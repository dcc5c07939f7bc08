"""Storage accounts: clients, SAS, and blobs of any length."""
