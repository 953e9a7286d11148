"""Particle filters the slow way, for one sequence: of a linear-Gaussian model, and of any model by paths of noise."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from torch import Tensor

from tests.oracles.kalman import System
from vrnn.models import LatentModel

__all__ = ["estimate", "estimate_by_paths"]

Array = NDArray[np.float64]


def estimate(system: System, x: Array, noise: Array, uniforms: Array, threshold: float, sees_frame: bool) -> float:
    """log of the estimate of p(x) from `noise [T, K, Z]` and `uniforms [T]`.

    Proposals are the transition, or p(z_t | z_{t-1}, x_t) where `sees_frame`, for which Z must be 1: a square root of a
    covariance is unique only there.
    """
    count = noise.shape[1]
    assert not sees_frame or system.A.shape == (1, 1)
    weights, particles, total = np.full(count, 1 / count), np.zeros((count, len(system.m))), 0.0
    for t, frame in enumerate(x):
        if t and 1 / np.sum(weights**2) < threshold * count:
            chosen = _systematic(weights, float(uniforms[t]))
            particles, weights = particles[chosen], np.full(count, 1 / count)
        spread = system.Q if t else system.P
        moved = np.empty_like(particles)
        alphas = np.empty(count)
        for k in range(count):
            mean = system.A @ particles[k] if t else system.m
            q_mean, q_spread = _conditional(system, frame, mean, spread) if sees_frame else (mean, spread)
            moved[k] = q_mean + np.linalg.cholesky(q_spread) @ noise[t, k]
            alphas[k] = np.exp(
                multivariate_normal.logpdf(frame, system.C @ moved[k], system.R)
                + multivariate_normal.logpdf(moved[k], mean, spread)
                - multivariate_normal.logpdf(moved[k], q_mean, q_spread)
            )
        step = float(np.sum(weights * alphas))
        particles, weights, total = moved, weights * alphas / step, total + float(np.log(step))
    return total


@torch.no_grad()
def estimate_by_paths(model: LatentModel, x: Tensor, noise: Tensor, uniforms: Tensor, threshold: float) -> float:
    """log of the estimate of p(x) of frames `x [T, D]` from `noise [K, T, Z]`, carrying no state.

    A particle is all the noise that it and its ancestors met, run through the model from the first frame each time.
    """
    count, length, _ = noise.shape
    mask = torch.ones(length, count, dtype=torch.bool)
    paths, weights, total = torch.zeros_like(noise), np.full(count, 1 / count), 0.0
    for t in range(length):
        if t and 1 / np.sum(weights**2) < threshold * count:
            paths, weights = paths[_systematic(weights, float(uniforms[t]))].clone(), np.full(count, 1 / count)
        paths[:, t] = noise[:, t]
        terms = model(x.unsqueeze(1).repeat(1, count, 1), mask, paths.transpose(0, 1))
        assert terms.log_ratio is not None
        alphas = (terms.log_emission + terms.log_ratio)[t].exp().numpy()
        step = float(np.sum(weights * alphas))
        weights, total = weights * alphas / step, total + float(np.log(step))
    return total


def _conditional(system: System, frame: Array, mean: Array, spread: Array) -> tuple[Array, Array]:
    precision = np.linalg.inv(spread) + system.C.T @ np.linalg.inv(system.R) @ system.C
    covariance = np.linalg.inv(precision)
    return covariance @ (np.linalg.inv(spread) @ mean + system.C.T @ np.linalg.inv(system.R) @ frame), covariance


def _systematic(weights: Array, uniform: float) -> list[int]:
    chosen, j, reached = [], 0, weights[0]
    for k in range(len(weights)):
        while (k + uniform) / len(weights) >= reached and j < len(weights) - 1:
            j += 1
            reached += weights[j]
        chosen.append(j)
    return chosen
