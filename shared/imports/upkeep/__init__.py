"""What no event and no job brings about: forgotten uploads, retention, health."""
