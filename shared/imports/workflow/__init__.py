"""The way of an upload: registered, validated and staged, queued, started, followed, completed."""
