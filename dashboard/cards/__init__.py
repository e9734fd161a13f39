"""The parts of a run's page: one file each, with `card(...)` that shows one side of a diagnosis."""
