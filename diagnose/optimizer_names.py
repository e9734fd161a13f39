"""What kind of optimizer a name means, in whichever of the usual spellings: torch, Transformers, timm, bitsandbytes."""

from __future__ import annotations

import re
from typing import Final, Literal

Kind = Literal["adaptive", "sgd", "other", "untold"]

# How an optimizer is computed, which its rates do not depend on: `adamw_torch_fused`, `PagedAdamW8bit`, `FusedSGD`.
IMPLEMENTATION: Final = r"(torch|hf|apex|fused|foreach|xla|npu|bnb|paged|cpu|deepspeed|anyprecision|[48]bit|32bit)*"
ADAPTIVE: Final = re.compile(rf"{IMPLEMENTATION}(n|r|sparse)?adam(w|ax)?{IMPLEMENTATION}")
MOMENTUM: Final = r"(with|and|momentum|nesterov)*"
SGD: Final = re.compile(rf"{IMPLEMENTATION}({MOMENTUM}sgd[mw]?|momentum|nesterov){MOMENTUM}{IMPLEMENTATION}")


def kind_of(optimizer: str) -> Kind:
    """`adaptive` for Adam and its kin, `sgd` with or without momentum, `other` for the rest, `untold` for no name.

    What looks for its own rate (schedule-free and D-adapted optimizers, Adafactor), takes the sign of a step (Lion) or
    trusts each layer anew (LARS, LAMB) is `other`: no document here says which rates suit it.
    """
    told = re.sub(r"<class '(.*)'>|\(.*\)$", r"\1", optimizer.strip().lower(), flags=re.DOTALL)
    plain = re.sub(r"[\s_\-]", "", told.rpartition(".")[2])
    if not plain:
        return "untold"
    if ADAPTIVE.fullmatch(plain):
        return "adaptive"
    return "sgd" if SGD.fullmatch(plain) else "other"
