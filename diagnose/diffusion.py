"""Noise schedules of diffusion models: the signal-to-noise ratio over the steps, and where the steps are spent (K36).

    compared = [linear(), cosine(), stable_diffusion(), edm()]
    shares(linear())                     # share of the steps in each band of log-SNR
    for remark in remarks(stable_diffusion()):
        print(remark.summary)            # "The last step still has a signal of 6.8 %: …"
    snr_figure(compared).show()          # diagnose.reports.diffusion

With β_t, ᾱ_t = Π(1 − β_s) and SNR(t) = ᾱ_t / (1 − ᾱ_t); of a schedule of noise levels σ over data of deviation σ_d,
SNR = σ_d² / σ². Steps count from 1, towards noise; logarithms are natural.

Sources: K36 (stability-scaling §6); Ho et al. 2020 (linear), Nichol & Dhariwal 2021 (cosine), Rombach et al. 2022
(Stable Diffusion's), Karras et al. 2022 (EDM), Lin et al. 2024 (Common Diffusion Noise Schedules and Sample Steps are
Flawed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import pi
from typing import Final, Literal

import numpy as np
from scipy.special import expit, ndtri

from diagnose.run import Values

STEPS: Final = 1000
MOST_BETA: Final = 0.999  # Nichol & Dhariwal: a step that leaves nothing is no step back
BANDS: Final = (-8.0, -4.0, 0.0, 4.0, 8.0)  # of log-SNR: noise alone, shape, content, detail, hardly any noise
SIGMA_DATA: Final = 0.5  # EDM's
NO_SIGNAL: Final = (
    1e-4  # SNR of a last step that passes for noise: above linear's 4.0e-5, below Stable Diffusion's 4.7e-3
)
BLIND: Final = -4.6  # log-SNR of 0.01: below it a step shows next to nothing of the sample
MOST_BLIND: Final = 0.2  # of the steps: Nichol & Dhariwal could leave out as many of linear's at no loss


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """A schedule by its `log_snr`, float64 of shape (steps,), falling; −∞ where nothing of the signal is left.

    Of DDPM's schedules the model is trained at the steps that it samples by, each as often as the others. `levels`
    tells where it is only sampled by them, or only trained around them.
    """

    name: str
    log_snr: Values
    levels: Literal["training and sampling", "training", "sampling"] = "training and sampling"

    @property
    def signal(self) -> Values:
        """√ᾱ of each step: the sample's share of the amplitude, of shape (steps,)."""
        return np.sqrt(expit(self.log_snr))


@dataclass(frozen=True)
class Remark:
    """Something about a schedule that costs quality: one sentence with its numbers, and its source."""

    id: str
    summary: str
    source: str
    evidence: Mapping[str, float] = field(default_factory=dict)


def from_betas(betas: Sequence[float] | Values, name: str = "betas") -> NoiseSchedule:
    """The schedule of noise shares β_t, shape (steps,). Raises `ValueError` unless all lie in (0, 1]."""
    each = np.asarray(betas, np.float64)
    if each.ndim != 1 or not len(each) or not ((each > 0) & (each <= 1)).all():
        raise ValueError("betas: expected one number above 0 and at most 1 for each step.")
    with np.errstate(divide="ignore"):
        log_kept = np.cumsum(np.log1p(-each))  # ᾱ itself would underflow where much noise is added often
        return NoiseSchedule(name, log_kept - np.log(-np.expm1(log_kept)))


def from_sigmas(
    sigmas: Sequence[float] | Values, sigma_data: float = SIGMA_DATA, name: str = "sigmas"
) -> NoiseSchedule:
    """The schedule of noise levels σ, in any order. Raises `ValueError` unless all are finite and above 0."""
    each = np.asarray(sigmas, np.float64)
    if each.ndim != 1 or not len(each) or not (np.isfinite(each) & (each > 0)).all():
        raise ValueError("sigmas: expected one number above 0 for each step.")
    return NoiseSchedule(name, 2 * (np.log(sigma_data) - np.log(np.sort(each))))


def linear(steps: int = STEPS, first: float = 1e-4, last: float = 0.02) -> NoiseSchedule:
    """β in equal steps from `first` to `last` for 1,000 steps; for another number their sum stays, each under 1."""
    return from_betas(np.minimum(np.linspace(first, last, steps) * STEPS / steps, MOST_BETA), "linear")


def stable_diffusion(steps: int = STEPS) -> NoiseSchedule:
    """√β in equal steps between the roots of 0.00085 and 0.012, for another number than 1,000 as `linear` does it."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, steps) ** 2 * STEPS / steps
    return from_betas(np.minimum(betas, MOST_BETA), "Stable Diffusion")


def cosine(steps: int = STEPS, offset: float = 0.008) -> NoiseSchedule:
    """ᾱ_t = cos²(((t/T + s) / (1 + s)) π/2) over its value at 0, β held at 0.999."""
    kept = np.cos((np.arange(steps + 1) / steps + offset) / (1 + offset) * pi / 2) ** 2
    return from_betas(np.minimum(1 - kept[1:] / kept[:-1], MOST_BETA), "cosine")


def edm(steps: int = STEPS, least: float = 0.002, most: float = 80.0, rho: float = 7.0) -> NoiseSchedule:
    """The levels that EDM samples at: σ^(1/ρ) in equal steps."""
    sigmas = np.linspace(least ** (1 / rho), most ** (1 / rho), steps) ** rho
    return replace(from_sigmas(sigmas, name="EDM, sampling"), levels="sampling")


def edm_training(steps: int = STEPS, mean: float = -1.2, deviation: float = 1.2) -> NoiseSchedule:
    """The levels that EDM trains at: the quantiles of its log-normal σ, whose tails go on beyond the last of them."""
    sigmas = np.exp(mean + deviation * ndtri((np.arange(steps) + 0.5) / steps))
    return replace(from_sigmas(sigmas, name="EDM, training"), levels="training")


def shares(schedule: NoiseSchedule, edges: Sequence[float] = BANDS) -> Values:
    """The share of the steps in each band of log-SNR, from (−∞, edges[0]) to [edges[−1], ∞); they add up to 1."""
    return np.bincount(np.digitize(schedule.log_snr, edges), minlength=len(edges) + 1) / len(schedule.log_snr)


def zero_terminal(schedule: NoiseSchedule) -> NoiseSchedule:
    """The same with nothing of the signal at the last step: √ᾱ moved and stretched, the first step as it was.

    By Lin et al. The model must then predict v or the sample: at the last step the noise tells nothing. Raises
    `ValueError` where the first step has no more of the signal than the last.
    """
    signal = schedule.signal
    if not signal[0] > signal[-1]:
        raise ValueError("zero_terminal: the schedule has no fall to stretch.")
    kept = ((signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])) ** 2
    with np.errstate(divide="ignore"):
        return replace(schedule, name=f"{schedule.name}, zero terminal SNR", log_snr=np.log(kept) - np.log1p(-kept))


def remarks(schedule: NoiseSchedule) -> tuple[Remark, ...]:
    """What is to be said against the schedule; nothing where there is nothing.

    Where sampling begins is judged by the steps that are sampled by, and how steps are spent by those that serve for
    both: a sampler may put its steps where its error arises, and levels that are only drawn from have no last one.
    """
    found = []
    last, blind = float(np.exp(schedule.log_snr[-1])), float((schedule.log_snr < BLIND).mean())
    if last > NO_SIGNAL and schedule.levels != "training":
        signal = float(schedule.signal[-1])
        found.append(Remark(
            "signal_at_the_end",
            f"The last step still has a signal of {100 * signal:.2g} % (SNR {last:.2g}): sampling begins at noise "
            "alone, where the model was never trained, and cannot leave the mean brightness that it was shown.",
            "Lin et al. 2024", {"terminal_snr": last, "signal": signal},
        ))  # fmt: skip
    if blind > MOST_BLIND and schedule.levels == "training and sampling":
        found.append(Remark(
            "steps_in_noise",
            f"{blind:.0%} of the steps have an SNR below 0.01, where next to nothing of the sample shows: a schedule "
            "that keeps the signal for longer, such as cosine, spends them better.",
            "Nichol & Dhariwal 2021", {"share": blind},
        ))  # fmt: skip
    return tuple(found)
