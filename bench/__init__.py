"""How fast and how small the validation is, beside what one might take instead."""
