"""The imports table and the containers of imports. They log no ends and measure nothing."""
