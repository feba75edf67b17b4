"""The network of "Deep Learning from Scratch", chapter 6, in NumPy and nothing else.

Example:
    Train a network on the data `x`, `(N, 784)`, with labels `t`, `(N,)`:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, t = rng.random((200, 784)), rng.integers(0, 10, 200)
    >>> network = MLP((784, 100, 10), weight_decay=1e-4, rng=rng)
    >>> trainer = Trainer(network, SGD(lr=0.1), batch_size=100, rng=rng)
    >>> trainer.fit((x, t), epochs=2, on_step=lambda epoch, metrics: print(epoch, sorted(metrics)))
    1 ['train_accuracy', 'train_loss']
    2 ['train_accuracy', 'train_loss']
"""

from .functions import accuracy, cross_entropy, log_softmax, sigmoid, softmax
from .gradient_check import (
    GradientError,
    GradientReport,
    check_layer,
    check_network,
    numerical_gradient,
)
from .initializers import FixedStd, He, Initializer, Xavier, Zeros, initializer
from .layers import (
    Affine,
    BatchNorm,
    Dropout,
    Layer,
    ReLU,
    Sigmoid,
    SoftmaxCrossEntropy,
    Tanh,
)
from .network import MLP
from .optimizers import (
    SGD,
    AdaGrad,
    Adam,
    Momentum,
    Nesterov,
    Optimizer,
    RMSProp,
    optimizer,
)
from .trainer import Trainer

__all__ = [
    "MLP",
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "BatchNorm",
    "Dropout",
    "FixedStd",
    "GradientError",
    "GradientReport",
    "He",
    "Initializer",
    "Layer",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSProp",
    "ReLU",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Trainer",
    "Xavier",
    "Zeros",
    "accuracy",
    "check_layer",
    "check_network",
    "cross_entropy",
    "initializer",
    "log_softmax",
    "numerical_gradient",
    "optimizer",
    "sigmoid",
    "softmax",
]
