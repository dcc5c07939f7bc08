"""How fast and how small the validation is, and what the life of imports costs at scale."""
