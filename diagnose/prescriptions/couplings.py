"""The coupling graph: every edge with its formula, its domain and its source (C-rows of the knowledge base)."""

from __future__ import annotations

from typing import Final

from diagnose.prescriptions.coupling import Coupling
from diagnose.prescriptions.follow import capacity, generalisation, rate, samples

_WARMUP = ("K21 (stability-scaling §2, interdependencies §6)", "K24 (interdependencies §6)")
_AS_A_BATCH = "K10 (interdependencies §9)"

GRAPH: Final = (
    # --- the batch, and what counts as one
    Coupling(
        "batch_size", "lr",
        "SGD: η′ = η·B′/B up to B = 8192, η′ = η·√(B′/B) beyond; a batch that shrinks keeps S = η(N − B)/B. "
        "Adam and its kin: η′ = η·√(B′/B)",
        "The rate follows the batch: a larger one averages more noise away, and bears a higher rate.",
        ("K07 (interdependencies §1, stability-scaling §1)", "K08 (interdependencies §1)", "K09 (stability-scaling §1)",
         _AS_A_BATCH),
        samples.lr,
    ),
    Coupling(
        "accumulation_steps", "lr", "B_eff = B·n; then as for the batch size",
        "Micro-batches that are added up count as one batch.", (_AS_A_BATCH, "K07 (interdependencies §1)"), samples.lr,
    ),
    Coupling(
        "batch_size", "warmup_steps", "B_eff > 1024: 5 epochs; B_eff > 8192: 10 epochs; never less than now",
        "Large batches at a high rate need a longer rise.",
        ("K22 (interdependencies §6)", "K24 (interdependencies §6)", "K07 (interdependencies §1)"), samples.warmup,
    ),
    Coupling(
        "accumulation_steps", "warmup_steps", "B_eff = B·n; then as for the batch size",
        "Micro-batches that are added up count as one batch.", (_AS_A_BATCH, "K22 (interdependencies §6)"),
        samples.warmup,
    ),
    Coupling(
        "batch_size", "normalization", "B < 16: BatchNorm → GroupNorm",
        "Statistics of so few samples are noise; groups of channels need no batch.",
        ("K63 (interdependencies §5)", "K64 (interdependencies §5)"), samples.normalization,
    ),
    Coupling(
        "batch_size", "weight_decay", "λ′ = λ·(B′/B)/(η′/η): a weight is forgotten over as many samples as before",
        "Fewer steps an epoch decay the weights less often.", (_AS_A_BATCH,), samples.weight_decay,
    ),
    Coupling(
        "accumulation_steps", "weight_decay", "B_eff = B·n; then as for the batch size",
        "Fewer steps an epoch decay the weights less often.", (_AS_A_BATCH,), samples.weight_decay,
    ),
    Coupling(
        "batch_size", "steps", "steps′ = steps·B/B′, where the length is set in steps",
        "The same passes over the data take another number of steps.", ("K07 (interdependencies §1)",), samples.steps,
    ),
    Coupling(
        "accumulation_steps", "steps", "B_eff = B·n; then as for the batch size",
        "The same passes over the data take another number of steps.", (_AS_A_BATCH, "K07 (interdependencies §1)"),
        samples.steps,
    ),
    # --- the rate
    Coupling(
        "lr", "warmup_steps", "a raised rate, or a lowered one of a run that was not stable: 5 % of the steps at least",
        "Warmup covers the first steps, in which curvature changes fastest and even the new rate may be too high.",
        _WARMUP, rate.warmup,
    ),
    Coupling(
        "lr", "epochs", "E′ = E·min(√(η/η′), 2), where the rate of a stable run falls at the same batch",
        "Smaller steps need more of them.", ("K49 (deep-dive §4, §7)",), rate.epochs,
    ),
    Coupling(
        "lr", "steps", "T′ = T·min(√(η/η′), 2), where a stable run's rate falls at the same batch, without epochs",
        "Smaller steps need more of them.", ("K49 (deep-dive §4, §7)",), rate.steps,
    ),
    Coupling(
        "lr", "max_norm",
        "SGD: c′ = c·η/η′, where the rate rises up to 30 times, at most to a third; with the batch c′ = c·√(B/B′)",
        "A larger rate wants a smaller clip threshold: their product bounds the step.",
        ("K25 (interdependencies §7)",), rate.max_norm,
    ),
    Coupling(
        "lr", "momentum", "β′ = 1 − c·η′ with c = (1 − β)/η, under cyclic schedules",
        "Momentum moves against the rate: low while steps are long, high while they are short.",
        ("K27 (interdependencies §4)",), rate.momentum,
    ),
    Coupling(
        "momentum", "lr", "η′ = η·(1 − β′)/(1 − β), for SGD",
        "A step's whole length is η/(1 − β): more momentum wants a lower rate.", ("K27 (interdependencies §4)",),
        rate.lr_for_momentum,
    ),
    Coupling(
        "scheduler", "lr", "a cycle's peak is 3 times the rate without it (2 to 10 are usual)",
        "OneCycle bears a higher peak than a rate that is held.", ("K32 (interdependencies §11)",), rate.peak,
    ),
    Coupling(
        "scheduler", "momentum", "under a cycle: from 0.95 down to 0.85 while the rate rises, and back",
        "Momentum moves against the rate in a cycle.", ("K27 (interdependencies §4)", "K32 (interdependencies §11)"),
        rate.momentum_cycle,
    ),
    Coupling(
        "optimizer", "lr", "SGD 0.01–0.1, Adam and its kin 1e-3, where the kind changes",
        "Adaptive steps are scaled per parameter: rates of the two kinds lie decades apart.",
        ("K11 (interdependencies §4, deep-dive §2)",), rate.for_optimizer,
    ),
    # --- the length
    Coupling(
        "epochs", "decay_steps", "T_max′ = T_max·E′/E", "A schedule ends with the training.",
        ("K30 (stability-scaling §3)",), rate.decay_steps_for_epochs,
    ),
    Coupling(
        "steps", "decay_steps", "T_max′ = T_max·T′/T", "A schedule ends with the training.",
        ("K30 (stability-scaling §3)",), rate.decay_steps_for_steps,
    ),
    Coupling(
        "epochs", "early_stopping", "E′ > 2.5·E: keep the checkpoint of the best validation loss",
        "The longer the training, the more it may memorise.", ("K49 (deep-dive §4, §7)", "K51 (deep-dive §4)"),
        generalisation.early_stopping_for_epochs,
    ),
    Coupling(
        "steps", "early_stopping", "T′ > 2.5·T: keep the checkpoint of the best validation loss",
        "The longer the training, the more it may memorise.", ("K49 (deep-dive §4, §7)", "K51 (deep-dive §4)"),
        generalisation.early_stopping_for_steps,
    ),
    # --- what regularises
    Coupling(
        "augmentation", "dropout", "strong augmentation: p′ = 0.6·p (30–50 % less)",
        "Strong augmentation regularises by itself.", ("K47 (interdependencies §8)",),
        generalisation.dropout_for_augmentation,
    ),
    Coupling(
        "augmentation", "weight_decay", "strong augmentation: λ′ = 0.6·λ (30–50 % less)",
        "Strong augmentation regularises by itself.", ("K47 (interdependencies §8)",),
        generalisation.weight_decay_for_augmentation,
    ),
    Coupling(
        "augmentation", "epochs", "strong augmentation: E′ = 1.75·E (1.5–2 times)",
        "Varied samples take longer to learn.", ("K47 (interdependencies §8)",),
        generalisation.epochs_for_augmentation,
    ),
    Coupling(
        "normalization", "dropout", "BatchNorm added: p′ = 0.6·p (30–50 % less)",
        "The noise of BatchNorm's statistics stands for some of dropout's.", ("K46 (interdependencies §2)",),
        generalisation.dropout_for_batchnorm,
    ),
    Coupling(
        "label_smoothing", "dropout", "ε raised: p′ = 0.9·p (a little less)",
        "Smoothed labels regularise too.", ("K48 (interdependencies §10)",), generalisation.dropout_for_smoothing,
    ),
    Coupling(
        "label_smoothing", "weight_decay", "ε raised: λ′ = 0.9·λ (a little less)",
        "Smoothed labels regularise too.", ("K48 (interdependencies §10)",), generalisation.weight_decay_for_smoothing,
    ),
    Coupling(
        "label_smoothing", "temperature", "ε ≥ 0.1: T fitted anew on validation logits; it comes out lower",
        "Logits of a model trained on smoothed labels lie closer together.",
        ("K48 (interdependencies §10)", "K54 (interdependencies §10)"), generalisation.temperature,
    ),
    # --- capacity and architecture
    Coupling(
        "width", "dropout", "p′ = p + 0.1·log2(w′/w)",
        "More capacity wants stronger regularisation, less a weaker one.",
        ("K44 (interdependencies §2, deep-dive §7)",), capacity.dropout_for_width,
    ),
    Coupling(
        "depth", "dropout", "p′ = p + 0.1·log2(L′/L)",
        "More capacity wants stronger regularisation, less a weaker one.",
        ("K44 (interdependencies §2, deep-dive §7)",), capacity.dropout_for_depth,
    ),
    Coupling(
        "width", "weight_decay", "λ′ = λ·w′/w, twice at most, where no dropout is set",
        "More capacity wants stronger regularisation, less a weaker one.",
        ("K44 (interdependencies §2, deep-dive §7)",), capacity.weight_decay_for_width,
    ),
    Coupling(
        "depth", "weight_decay", "λ′ = λ·L′/L, twice at most, where no dropout is set",
        "More capacity wants stronger regularisation, less a weaker one.",
        ("K44 (interdependencies §2, deep-dive §7)",), capacity.weight_decay_for_depth,
    ),
    Coupling(
        "width", "lr", "Adam and its kin: η′ = η·w/w′ for hidden layers of 64 units or more (μP)",
        "Across model sizes settings follow scaling rules: wider layers add up more of the same update.",
        ("K69 (stability-scaling §7, §8)",), capacity.lr_for_width,
    ),
    Coupling(
        "depth", "batch_size", "B′ ≤ B·L/L′, a divisor of B where one is near, where the net gets deeper by a quarter",
        "Activations of more layers take memory from the batch.", ("K65 (deep-dive §7)",), capacity.batch_for_depth,
    ),
    Coupling(
        "depth", "accumulation_steps", "n′ = n·B/B′: the step sees as many samples as before",
        "What the batch loses is accumulated.", ("K65 (deep-dive §7)", _AS_A_BATCH), capacity.accumulation_for_depth,
    ),
    Coupling(
        "depth", "normalization", "L′ ≥ 6 without normalisation: BatchNorm for B ≥ 16, else LayerNorm",
        "Depth needs normalisation.", ("K63 (interdependencies §5)", "K64 (interdependencies §5)"),
        capacity.normalization_for_depth,
    ),
    Coupling(
        "activation", "initialization", "sigmoid, tanh: Glorot; ReLU and its kin: He",
        "Each activation keeps the signal's variance under its own initialisation.",
        ("K60 (interdependencies §3)",), capacity.initialization_for_activation,
    ),
    Coupling(
        "normalization", "initialization", "normalisation removed: Glorot or He, after the activation",
        "Without normalisation nothing mends a wrong scale of the weights.", ("K60 (interdependencies §3)",),
        capacity.initialization_without_normalization,
    ),
    *(
        Coupling(
            "model", target, "another backbone: every tuned setting starts again",
            "Another model has another loss surface.", ("K67 (tune-like-a-champ “Model Architecture”)",), anew,
        )
        for target, anew in capacity.ANEW.items()
    ),
)  # fmt: skip
