"""Commands of `diagnose` that have a room of their own; each module adds itself to the parser."""
