"""The HTTP surface of the hub: what every request passes, and the routes."""
