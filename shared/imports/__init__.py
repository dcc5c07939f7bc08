"""The workflow: from an upload to the final record of its import."""
