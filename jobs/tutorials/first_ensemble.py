# %% [markdown]
# # 1. A first ensemble
#
# A network with weights of ±1 is a spin system: a *configuration* is σ ∈ {−1, +1}ᴺ, and training
# looks for those at which the network classifies well. There are very many of them. This tutorial
# samples some hundred on the handwritten digits that ship with scikit-learn, looks at them, and
# measures what they have in common.
#
# Run it as a script, or open it as a notebook (VS Code, or Jupyter with Jupytext). At `SIZE = 1` it
# takes about half a minute on one core; files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np

import lsg_ray

SIZE = 1.0  # 0.1 for a quick look: fewer configurations, larger errors
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(40, round(150 * SIZE))
print(f"{COUNT} configurations, files in {OUT}")

# %% [markdown]
# ## Sample
#
# A specification says all that a run depends on. Here the network has 20 inputs (principal
# components of the images), two hidden layers of 15 units and 10 outputs: N = 675 weights. Training
# is in mean field: each weight is +1 with probability 1/(1 + e^(−θ)), and Adam learns the N fields
# θ. Then 50 configurations are drawn, and the best is kept if its accuracy on the test set
# (`selection: test`) reaches the threshold.

# %%
(OUT / "first.yaml").write_text(
    f"""
name: first
dataset: {{name: digits, components: 20}}
network: {{family: binary, widths: [20, 15, 15, 10]}}
training: {{learning_rate: 0.3, batch_size: 48, epochs: 100}}
ensemble: {{count: {COUNT}, threshold: 0.80, draws: 50, selection: test, seed: 1}}
"""
)
spec = lsg_ray.load_spec(OUT / "first.yaml")
sampled = lsg_ray.sample(spec, OUT / "first.zarr", workers=0)
print(f"{sampled.rows} new configurations from {sampled.trials} trials")

# %% [markdown]
# `workers=0` samples in this process; without it, Ray uses all cores. Configuration *i* depends on
# the specification and on *i* alone, so the bytes are the same in both cases. Run the cell again:
# nothing is left to do, and nothing is done. The same as a command:
#
#     lsg sample first.yaml --out first.zarr
#
# ## Look at the store
#
# The content hash is a fingerprint of all weights, independent of the order in which they were
# written; `verify` reads everything and compares checksums.

# %%
ensemble = lsg_ray.open_ensemble(OUT / "first.zarr")
info = ensemble.info()
for name in ("rows", "n_weights", "acceptance", "bits_per_weight", "content_hash"):
    print(f"{name:16} {info[name]}")
print(f"{'sound':16} {lsg_ray.verify(OUT / 'first.zarr').sound}")

# %% [markdown]
# ## Query
#
# Conditions compare columns; a view of the rows that meet one is an ensemble like any other.

# %%
best = lsg_ray.query(ensemble, columns=["configuration", "accuracy"], sort="-accuracy", limit=3)
for configuration, accuracy in zip(best["configuration"], best["accuracy"], strict=True):
    print(f"configuration {configuration:4}: accuracy {accuracy:.3f}")
good = ensemble.where("accuracy > 0.85")
print(f"{good.n_rows} of {ensemble.n_rows} are above 0.85")

# %% [markdown]
# ## Moments
#
# The first two moments of the weights are
#
#     m_i = ⟨σ_i⟩,    C_ij = ⟨σ_i σ_j⟩,    c_ij = C_ij − m_i m_j,
#
# averages over M configurations, with standard errors: that of m is √((1 − m²)/(M − 1)). A part of
# the weights is the first layer (`LB`, left boundary), the last (`RB`) or what is between (`ITR`).

# %%
first = lsg_ray.moments(ensemble.part("LB"))
m, error = first["m"].values, first["m_stderr"].values
i = int(np.argmax(np.abs(m) / np.maximum(error, 1e-3)))
beyond = np.mean(np.abs(m) > 2 * error)
print(f"the most polarised weight of LB: m_{i} = {m[i]:+.2f} ± {error[i]:.2f}")
print(f"{100 * beyond:.0f} % of the weights of LB differ from 0 by two errors; by chance 5 % would")

# %% [markdown]
# ## Are the weights correlated?
#
# The mean of c_ij² cannot say so: noise of 1/√M in each c_ij makes it positive always. Two halves
# of an ensemble have independent noise, so the *product* of their c_ij has none on average. With
# ten groups in place of halves, the estimate of the squared signal is
#
#     S² = mean over i < j and pairs of groups a ≠ b of c_ij(a) c_ij(b),
#
# and its error follows by leaving out one group at a time (jackknife). It may come out negative. An
# error from ten groups is itself known to about a quarter: do not argue about 1.9 against 2.1.


# %%
def signal(groups: np.ndarray) -> float:
    """Return S² of the c_ij of each group, (G, pairs)."""
    count = len(groups)
    return float(np.mean(groups.sum(0) ** 2 - (groups**2).sum(0)) / (count * (count - 1)))


def correlation_signal(sigma: np.ndarray, count: int = 10) -> tuple[float, float]:
    """Return S² of configurations (M, N) and its standard error."""
    pairs = np.triu_indices(sigma.shape[1], 1)
    groups = np.array([np.cov(group.T)[pairs] for group in np.array_split(sigma, count)])
    without = [signal(np.delete(groups, one, axis=0)) for one in range(count)]
    return signal(groups), float(np.sqrt((count - 1) * np.var(without)))


for part in ensemble.parts:
    squared, uncertainty = correlation_signal(ensemble.part(part).numpy())
    verdict = "correlated" if squared > 2 * uncertainty else "undetermined"
    print(f"{part:4} S² = {squared:+.5f} ± {uncertainty:.5f}  {verdict}")

# %% [markdown]
# **Undetermined** does not mean "independent". It means that the interval of two errors around the
# number contains the border, zero here, and that this ensemble cannot tell. At `SIZE = 1` the first
# and the last layer are correlated clearly. Of the interior we learn that the root mean square of
# c_ij is below √(S² + 2 errors), a fraction of theirs: this is the "liquid core" of W. Zou and H.
# Huang. More configurations settle it, as the error of S² falls like 1/M: raise the count and
# sample again; what is there stays.
#
# ## Overlaps
#
# The overlap of two configurations is q = (1/N) Σ_i σ_i σ'_i. If all weights were independent, P(q)
# would be narrow around Σ m_i²/N; the package computes that null from the measured m. Hidden units
# may be exchanged without a change of the function. `canonicalize` sorts the units of each network,
# so that this symmetry no longer hides what networks share.

# %%
for name, sample in (("as sampled", ensemble), ("sorted", lsg_ray.canonicalize(ensemble))):
    P = lsg_ray.overlaps(sample).attrs
    print(
        f"{name:10}: ⟨q⟩ = {P['mean']:.4f} ± {P['mean_stderr']:.4f}, "
        f"width {P['std']:.4f} ± {P['std_stderr']:.4f}; "
        f"independent weights {P['independent_std']:.4f}"
    )

# %% [markdown]
# ## What next
#
# - `lsg run jobs/specs/quickstart.yaml --out quickstart` does this for 2,400 networks, with a
#   report.
# - `your_own_data.py`: other data, and weights that were made elsewhere.
# - `entropy_landscape.py`: a model P(σ) ∝ exp(½ σᵀJσ + hᵀσ) of an ensemble, and how many
#   configurations lie at a distance d from a given one.
