"""A linear-Gaussian state-space model the textbook way, in numpy: filter, smoother, dense Gaussian.

z_1 ~ N(m, P), z_t = A z_{t-1} + N(0, Q), x_t = C z_t + N(0, R). One sequence at a time, `x [T, D]`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from tests.oracles.linear_gaussian import LinearGaussian

__all__ = ["System", "dense_log_likelihood", "kalman_filter", "log_likelihood", "rts_smoother", "stacked"]

Array = NDArray[np.float64]


@dataclass
class System:
    A: Array
    C: Array
    Q: Array
    R: Array
    m: Array
    P: Array

    @classmethod
    def of(cls, model: LinearGaussian) -> "System":
        """From the parameters' meaning: covariances are factor times its transpose, R is diagonal."""
        values = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
        process, initial = np.tril(values["process"]), np.tril(values["initial"])
        return cls(
            A=values["transition"],
            C=values["emission.weight"],
            Q=process @ process.T,
            R=np.diag(np.exp(2 * values["emission.log_std"])),
            m=values["initial_mean"],
            P=initial @ initial.T,
        )


def kalman_filter(system: System, x: Array) -> tuple[float, list[Array], list[Array]]:
    """log p(x), and the mean and covariance of z_t given x_<=t."""
    mean, covariance, total = system.m, system.P, 0.0
    means, covariances = [], []
    for t, frame in enumerate(x):
        if t:
            mean, covariance = system.A @ mean, system.A @ covariance @ system.A.T + system.Q
        innovation = system.C @ covariance @ system.C.T + system.R
        total += float(multivariate_normal.logpdf(frame, system.C @ mean, innovation))
        gain = covariance @ system.C.T @ np.linalg.inv(innovation)
        mean = mean + gain @ (frame - system.C @ mean)
        covariance = covariance - gain @ system.C @ covariance
        means.append(mean)
        covariances.append(covariance)
    return total, means, covariances


def log_likelihood(system: System, x: Array) -> float:
    return kalman_filter(system, x)[0]


def rts_smoother(system: System, x: Array) -> tuple[list[Array], list[Array]]:
    """Mean and covariance of z_t given all frames (Rauch, Tung and Striebel 1965)."""
    _, means, covariances = kalman_filter(system, x)
    mean, covariance = means[-1], covariances[-1]
    smooth_means, smooth_covariances = [mean], [covariance]
    for t in reversed(range(len(x) - 1)):
        predicted = system.A @ covariances[t] @ system.A.T + system.Q
        gain = covariances[t] @ system.A.T @ np.linalg.inv(predicted)
        mean = means[t] + gain @ (mean - system.A @ means[t])
        covariance = covariances[t] + gain @ (covariance - predicted) @ gain.T
        smooth_means.insert(0, mean)
        smooth_covariances.insert(0, covariance)
    return smooth_means, smooth_covariances


def stacked(system: System, length: int) -> tuple[Array, Array]:
    """Mean and covariance of (z_1, ..., z_T, x_1, ..., x_T), from the powers of A alone."""
    latent, frame_size = system.A.shape[0], system.C.shape[0]
    power = [np.linalg.matrix_power(system.A, t) for t in range(length)]
    shocks = np.zeros((length * latent, length * latent))
    sources = np.zeros_like(shocks)
    for t in range(length):
        here = slice(t * latent, (t + 1) * latent)
        sources[here, here] = system.Q if t else system.P
        for s in range(t + 1):
            shocks[here, s * latent : (s + 1) * latent] = power[t - s]
    z_mean = np.concatenate([power[t] @ system.m for t in range(length)])
    z_covariance = shocks @ sources @ shocks.T
    emit = np.kron(np.eye(length), system.C)
    x_covariance = emit @ z_covariance @ emit.T + np.kron(np.eye(length), system.R)
    assert x_covariance.shape == (length * frame_size, length * frame_size)
    joint = np.block([[z_covariance, z_covariance @ emit.T], [emit @ z_covariance, x_covariance]])
    return np.concatenate([z_mean, emit @ z_mean]), joint


def dense_log_likelihood(system: System, x: Array) -> float:
    """log N(x) of all frames as one vector."""
    mean, covariance = stacked(system, len(x))
    latents = len(x) * system.A.shape[0]
    return float(multivariate_normal.logpdf(x.ravel(), mean[latents:], covariance[latents:, latents:]))
