"""What operators see of imports and do with them."""
