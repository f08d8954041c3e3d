"""Optimizers with their learning-rate schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Adam:
    """Adam with a cosine learning-rate schedule over all epochs.

    I. Loshchilov, F. Hutter, SGDR, ICLR 2017, section 3, without restarts.

    Attributes:
        learning_rate: the highest learning rate; it decays to 0.
        warmup: the fraction of all steps with a linear warmup from 0.
    """

    learning_rate: float
    warmup: float = 0.0

    def build(self, steps: int) -> keras.optimizers.Optimizer:
        """Build the Keras optimizer for a training of `steps` steps."""
        import keras

        return keras.optimizers.Adam(_cosine(self.learning_rate, steps, self.warmup))


@dataclass(frozen=True)
class Momentum:
    """Stochastic gradient descent with momentum and weight decay, as in section 5 of the AlexNet paper.

    Attributes:
        learning_rate: the first learning rate.
        momentum: the momentum.
        weight_decay: the weight decay of the paper.
        drops: fractions of all steps; the learning rate is divided by 10 at each.
    """

    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    drops: tuple[float, ...] = (0.5, 0.75, 0.9)

    def build(self, steps: int) -> keras.optimizers.Optimizer:
        """Build the Keras optimizer for a training of `steps` steps."""
        import keras

        return keras.optimizers.SGD(
            keras.optimizers.schedules.PiecewiseConstantDecay(
                [round(drop * steps) for drop in self.drops],
                [self.learning_rate / 10**drop for drop in range(len(self.drops) + 1)],
            ),
            momentum=self.momentum,
            # Keras applies the decay to the weights directly. In the paper it passes through the momentum,
            # which sums it up to this.
            weight_decay=self.weight_decay / (1 - self.momentum),
        )


OptimizerConfig = Adam | Momentum


def _cosine(rate: float, steps: int, warmup: float) -> keras.optimizers.schedules.LearningRateSchedule:
    import keras

    warmup_steps = round(warmup * steps)
    if warmup_steps:
        return keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=max(1, steps - warmup_steps), warmup_target=rate, warmup_steps=warmup_steps
        )
    return keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
