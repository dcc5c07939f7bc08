"""What an import is: its record, its states, the keys of its rows and the reasons it shows."""
