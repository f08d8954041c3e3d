"""How the weights go down the slope: the optimizer and the course of its learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Adam:
    """Adam whose learning rate falls from `learning_rate` to nothing along half a cosine over all epochs.

    The cosine is that of I. Loshchilov, F. Hutter, SGDR, ICLR 2017, section 3, without restarts. For the
    first `warmup` part of all steps the rate rises evenly from nothing.
    """

    learning_rate: float
    warmup: float = 0.0

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """For so many steps in all."""
        import keras

        return keras.optimizers.Adam(_cosine(self.learning_rate, steps, self.warmup))


@dataclass(frozen=True)
class Momentum:
    """Stochastic gradient descent with momentum and weight decay, as AlexNet was trained (section 5).

    The learning rate is divided by 10 after each of the `drops`, parts of all steps.
    """

    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    drops: tuple[float, ...] = (0.5, 0.75, 0.9)

    def optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        """For so many steps in all."""
        import keras

        return keras.optimizers.SGD(
            keras.optimizers.schedules.PiecewiseConstantDecay(
                [round(drop * steps) for drop in self.drops],
                [self.learning_rate / 10**drop for drop in range(len(self.drops) + 1)],
            ),
            momentum=self.momentum,
            # Keras takes the decay from the weights themselves. The paper's passes through the momentum,
            # which sums it up to this.
            weight_decay=self.weight_decay / (1 - self.momentum),
        )


Descent = Adam | Momentum


def _cosine(rate: float, steps: int, warmup: float) -> keras.optimizers.schedules.LearningRateSchedule:
    import keras

    rising = round(warmup * steps)
    if rising:
        return keras.optimizers.schedules.CosineDecay(
            0.0, decay_steps=max(1, steps - rising), warmup_target=rate, warmup_steps=rising
        )
    return keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
