"""The probes: one file per thing measured."""
