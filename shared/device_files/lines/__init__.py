"""One line of a device file: its properties, and what is wrong with them."""
