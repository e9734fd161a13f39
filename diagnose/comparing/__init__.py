"""Two runs side by side: what differs in the set-up, what in the outcome, and which difference explains which."""

from diagnose.comparing.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
