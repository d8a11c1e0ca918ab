# %% [markdown]
# # 2. Your own data, your own weights
#
# Data come from files (CSV, Parquet, `.npz`, folders of `.npy`), and weights that were made
# elsewhere become a store like any other. This tutorial writes a table and an archive, trains on
# both, imports spins of a Monte Carlo run and networks of PyTorch, and exports again.
#
# It takes some ten seconds on one core; files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

import lsg_ray

SIZE = 1.0  # 0.1 for a quick look
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(8, round(60 * SIZE))
rng = np.random.default_rng(0)
print(f"files in {OUT}")

# %% [markdown]
# ## A table
#
# Two classes of points x = ±a + ξ with |a| = 1.5 and normal noise ξ in 8 dimensions. The best that
# any classifier can do is the sign of a·x, right with probability Φ(|a|) = 0.933.

# %%
direction = np.full(8, 1.5 / np.sqrt(8))
species = rng.integers(0, 2, 600)
x = np.where(species[:, None] == 1, direction, -direction) + rng.normal(size=(600, 8))
with open(OUT / "table.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow([*(f"x{k}" for k in range(8)), "species"])
    rows.writerows([*values.round(4), name] for values, name in zip(x, species, strict=True))
np.savez(
    OUT / "arrays.npz", x_train=x[:480], y_train=species[:480], x_test=x[480:], y_test=species[480:]
)

# %% [markdown]
# The specification names the file and the column of labels, and holds back a part as test set; an
# archive has its own. The contents of a file are part of what a run is (by their SHA-256), its path
# is not: move it where you like.

# %%
SOURCES = {
    "table": "{name: file, path: '%s', label: species, test_fraction: 0.2, components: 8}",
    "arrays": "{name: file, path: '%s', components: 8}",
}
for name, suffix in (("table", "csv"), ("arrays", "npz")):
    dataset = SOURCES[name] % (OUT / f"{name}.{suffix}").as_posix()
    (OUT / f"{name}.yaml").write_text(
        f"""
name: {name}
dataset: {dataset}
network: {{family: binary, widths: [8, 5, 2]}}
training: {{learning_rate: 0.3, batch_size: 40, epochs: 40}}
ensemble: {{count: {COUNT}, threshold: 0.8, draws: 20}}
"""
    )
    lsg_ray.sample(lsg_ray.load_spec(OUT / f"{name}.yaml"), OUT / f"{name}.zarr", workers=0)
    accuracy = lsg_ray.open_ensemble(OUT / f"{name}.zarr").column("test_accuracy")
    error = accuracy.std(ddof=1) / np.sqrt(COUNT)
    print(f"{name}: test accuracy {accuracy.mean():.3f} ± {error:.3f}; the best possible is 0.933")

# %% [markdown]
# The error here is over networks, all tested on the *same* 120 points. Those limit what any of them
# can be known to reach: √(0.933 · 0.067/120) = 0.023. State both, or the comparison with 0.933
# looks sharper than it is.
#
# ## Weights of your own: spins
#
# Any (M, N) array of ±1, 0 and 1, or real numbers is an ensemble. Take a ring of N = 12 Ising spins
# with coupling K. Its correlations are known: ⟨σ_i σ_(i+1)⟩ = (t + t^(N−1))/(1 + t^N), t = tanh K.

# %%
K, N, SAMPLES = 0.5, 12, max(200, round(4000 * SIZE))
spins = rng.choice([-1, 1], size=(SAMPLES, N)).astype(np.int8)
for _ in range(50):  # heat bath, even sites and odd sites in turn
    for start in (0, 1):
        here = np.arange(start, N, 2)
        field = K * (spins[:, here - 1].astype(int) + spins[:, (here + 1) % N])
        up = rng.random(field.shape) < 1 / (1 + np.exp(-2 * field))
        spins[:, here] = np.where(up, 1, -1)
energy = -K * (spins * np.roll(spins, 1, axis=1)).sum(axis=1)
ring = lsg_ray.write_ensemble(spins, OUT / "ring.zarr", columns={"energy": energy})
print(ring.n_rows, "configurations; columns:", ", ".join(ring.query_columns))

# %% [markdown]
# The command `lsg import ring.npy --out ring.zarr` does the same with a file. Moments have errors,
# so that they can be compared with what is known:

# %%
t = np.tanh(K)
exact = (t + t ** (N - 1)) / (1 + t**N)
found = lsg_ray.moments(ring)
value, error = float(found["C"][0, 1]), float(found["C_stderr"][0, 1])
print(
    f"⟨σ_0 σ_1⟩ = {value:.3f} ± {error:.3f}, exact {exact:.3f}: "
    f"{(value - exact) / error:+.1f} errors off"
)
low = ring.where(f"energy < {np.median(energy)}")
print(f"{low.n_rows} configurations lie below the median energy")

# %% [markdown]
# About one comparison in twenty is off by more than two errors, by chance. If yours is off by five,
# look for a mistake; if its error is as large as the effect that you look for, whether there is one
# is *undetermined*: more samples are needed.
#
# ## Networks of PyTorch
#
# Given a network and a data set, an import computes accuracy and loss, so that everything that
# needs the outputs works. State dicts are matched to layers by shape, a bias becomes the last
# column.

# %%
torch.manual_seed(0)
models = [
    torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
    for _ in range(3)
]
nets = lsg_ray.write_ensemble(
    [model.state_dict() for model in models],
    OUT / "nets.zarr",
    network=[64, 8, 10],
    dataset="digits",
)
print("accuracy of untrained networks:", nets.column("accuracy").round(3), "chance 0.1")

# %% [markdown]
# ## Export
#
# By the suffix: npz, npy, csv, parquet, nc, safetensors, pt, mtx. An export is imported again with
# the same weights, which the content hash shows.

# %%
lsg_ray.export(ring, OUT / "ring.npz", overwrite=True)
again = lsg_ray.write_ensemble(OUT / "ring.npz", OUT / "again.zarr")
print("same content:", again.info()["content_hash"] == ring.info()["content_hash"])
lsg_ray.export(
    ring, OUT / "low.csv", where="energy < -3", columns=["energy"], limit=5, overwrite=True
)
print((OUT / "low.csv").read_text().splitlines()[:3])

# %% [markdown]
# ## What next
#
# - README, "Your own data", has all formats and transforms; `lsg data list` the built-in data sets.
# - `entropy_landscape.py` fits a model to an ensemble; to the ring's, it should find K again.
# - `adding_a_method.py`: data sets and methods of your own that commands know by name.
