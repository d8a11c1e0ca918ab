# %% [markdown]
# # 4. The loss landscape of ReLU networks
#
# For real weights w there is a loss L(w), the mean cross entropy in nats per example. How wide is
# the valley around a solution, and is there a pass between two of them? This tutorial trains some
# small ReLU networks, walks away from them at random, goes straight from one to another, and
# measures curvature.
#
# It takes about half a minute on one core; files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lsg_ray

SIZE = 1.0  # 0.2 for a quick look: fewer networks, larger errors
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(4, round(20 * SIZE))


def averaged(values: np.ndarray, digits: int = 3) -> str:
    """Return the mean of independent values with its standard error."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.{digits}f} ± {error:.{digits}f}"


print(f"{COUNT} networks, files in {OUT}")

# %% [markdown]
# ## Solutions
#
# Each configuration is a network 64-32-10 trained from a start of its own. Errors are standard
# errors over networks; all are tested on the same images.

# %%
(OUT / "relu.yaml").write_text(
    f"""
name: relu
dataset: {{name: digits}}
network: {{family: relu, widths: [64, 32, 10]}}
training: {{batch_size: 64, epochs: 20}}
ensemble: {{count: {COUNT}}}
"""
)
lsg_ray.sample(lsg_ray.load_spec(OUT / "relu.yaml"), OUT / "relu.zarr", workers=0)
solutions = lsg_ray.open_ensemble(OUT / "relu.zarr")
for column in ("test_loss", "test_accuracy"):
    print(f"{column:14} {averaged(solutions.column(column), 4)}")

# %% [markdown]
# ## Random walks
#
# w_(t+1) = w_t + σ ξ_t, with normal ξ. The flat region ends where the loss has risen by 0.1 nat, at
# a distance called the flat width. Steps that are too small never leave it within the walk: then
# the width is *censored*, its mean is unknown (NaN), and only a lower bound can be given.

# %%
walks = lsg_ray.random_walk(
    solutions,
    sigma=[0.001, 0.01, 0.03],
    steps=max(30, round(100 * SIZE)),
    configurations=min(COUNT, 8),
)
for step in walks["sigma"].values:
    at = walks.sel(sigma=step)
    left, mean = float(at["flat_width_left"]), float(at["flat_width_mean"])
    if np.isfinite(mean):
        text = f"{mean:.2f} ± {float(at['flat_width_mean_stderr']):.2f}"
    else:
        lower, error = at["flat_width_restricted_mean"], at["flat_width_restricted_mean_stderr"]
        text = f"undetermined; at least {float(lower):.3f} ± {float(error):.3f}"
    print(f"σ = {step:<6g}: {100 * left:3.0f} % have left, flat width {text}")

# %% [markdown]
# *Undetermined* is not "infinite", and not the mean over those walks that happened to leave, which
# would be too small: it asks for longer walks. A random walk feels all N directions at once, E[ΔL]
# ≈ ½ σ² t tr H for small steps, so that its width is that of an average direction.
#
# ## Straight paths, and the order of hidden units
#
# On the path w(α) = (1 − α) w_A + α w_B, the barrier is the largest excess of the loss over the
# straight line between its ends. Hidden units can be exchanged without a change of the function, so
# two networks may compute nearly the same with units in different orders. `matching` reorders those
# of B to be as close as possible to those of A (linear assignment); `clustering` sorts each by
# itself.

# %%
paths = lsg_ray.interpolate(solutions, pairs=max(3, round(12 * SIZE)), alignment="all")
barriers = {}
for alignment in paths["alignment"].values:
    barriers[alignment] = paths["train_barrier"].sel(alignment=alignment).values
    print(f"{alignment:10}: barrier {averaged(barriers[alignment])} nat")

# %% [markdown]
# The pairs are the same for all alignments, so compare them pair by pair: the scatter between pairs
# drops out of the difference. (Pairs may share a network; the errors take them for independent, and
# are a little too small where few networks make many pairs.)

# %%
gain = barriers["none"] - barriers["matching"]
value, error = gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))
verdict = "undetermined" if abs(value) < 2 * error else "lower" if value > 0 else "higher"
print(f"barriers before and after matching differ by {averaged(gain)} nat: after it {verdict}")

# %% [markdown]
# ## Flatness
#
# The Hessian H of the training loss at a solution: its largest eigenvalues by Lanczos (with
# residuals, so that it is known whether they have converged), its trace by random sign vectors.
# Curvature depends on the scale of the weights: a ReLU unit with weights times c in and 1/c out
# computes the same. The rise of the loss at a *relative* radius r, filter by filter, does not
# depend on it.

# %%
flat = lsg_ray.flatness(
    solutions, eigenvalues=1, configurations=min(COUNT, 8), radii=[0.1, 0.3], directions=4
)
print("largest eigenvalue", averaged(flat["eigenvalue"].values[:, 0], 2))
print("trace             ", averaged(flat["trace"].values, 1))
print(
    f"eigenvalues that have converged: {int(flat['converged'].sum())} of {flat['converged'].size}"
)
for radius in flat["radius"].values:
    print(f"rise at r = {radius:g}: {averaged(flat['rise'].sel(radius=radius).values, 4)} nat")

# %% [markdown]
# Errors are over networks: the scatter of random vectors within a network is a part of it.

# %%
figure, axes = plt.subplots()
for alignment in paths["alignment"].values:
    loss = paths["train_loss"].sel(alignment=alignment)
    spread = loss.std("pair", ddof=1) / np.sqrt(loss.sizes["pair"])
    axes.errorbar(paths["alpha"], loss.mean("pair"), spread, label=str(alignment))
axes.set(xlabel="position α on the path", ylabel="training loss (nats)")
axes.legend()
figure.savefig(OUT / "paths.png")
print("figure:", OUT / "paths.png")

# %% [markdown]
# ## What next
#
# - The same as commands: `lsg walk`, `lsg interpolate`, `lsg flatness`, each `STORE --out RESULT
#   --figure FILE.png`.
# - `lsg compare A --second B`: small batches against large ones, pair by pair.
# - `ensemble.snapshots` stores weights along training, and `--snapshot` measures them.
# - `wide_flat_minima.py`: flatness as an entropy, where theory gives a curve to compare with.
