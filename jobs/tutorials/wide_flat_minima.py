# %% [markdown]
# # 5. Wide flat minima
#
# A perceptron with weights of ±1 has to classify P = αN random patterns ξ^μ with random labels y^μ:
# y^μ σ·ξ^μ > 0 for all μ. Below α_c ≈ 0.833 there are exponentially many solutions. Typical ones
# are isolated, and local search does not find them. Algorithms that succeed end in rare *dense*
# regions (C. Baldassi et al., PNAS 113, E7655). This tutorial finds solutions by three algorithms,
# counts the solutions around them, and compares with replica theory.
#
# It takes about half a minute on one core; files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lsg_ray

SIZE = 1.0  # 0.3 for a quick look: a smaller perceptron, further from N → ∞
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(2, round(5 * SIZE))
N = 2 * max(50, round(250 * SIZE)) + 1  # odd, so that no sum of ±1 is zero
P = round(0.4 * N)
print(f"N = {N}, P = {P}, {COUNT} solutions of each algorithm, files in {OUT}")

# %% [markdown]
# ## Solvers
#
# - `focusing-bp`: belief propagation with a growing attraction to its own centre, towards dense
#   regions;
# - `reinforced-bp`: belief propagation with a memory of its own beliefs;
# - `max-sum`: the same at zero temperature.
#
# All see the same patterns (`dataset.seed`), so that what differs is the algorithm.

# %%
ensembles = {}
for algorithm in ("focusing-bp", "reinforced-bp", "max-sum"):
    (OUT / f"{algorithm}.yaml").write_text(
        f"""
name: {algorithm}
dataset: {{name: random-patterns, patterns: {P}, inputs: {N}}}
network: {{family: perceptron, widths: [{N}, 1]}}
training: {{algorithm: {algorithm}}}
ensemble: {{count: {COUNT}}}
"""
    )
    spec = lsg_ray.load_spec(OUT / f"{algorithm}.yaml")
    lsg_ray.sample(spec, OUT / f"{algorithm}.zarr", workers=0)
    ensembles[algorithm] = lsg_ray.open_ensemble(OUT / f"{algorithm}.zarr")
    info = ensembles[algorithm].info()
    print(f"{algorithm:14} {info['rows']} solutions from {info['trials']} trials")

# %% [markdown]
# ## Local entropy
#
# Of a solution σ*, the number of solutions σ at distance D = (1 − σ·σ*/N)/2 is e^(N Σ(D)). Belief
# propagation computes Σ with a field γ towards σ*; larger fields give shorter distances. All
# configurations at D, solutions or not, have the entropy H₂(D) = −D ln D − (1 − D) ln(1 − D). The
# closer Σ to H₂, the flatter the surroundings.

# %%
local = {}
for algorithm, ensemble in ensembles.items():
    local[algorithm] = lsg_ray.local_entropy(ensemble, gammas=[2.0, 1.0, 0.5, 0.25], theory=False)
    at = local[algorithm].sel(gamma=1.0)
    print(
        f"{algorithm:14} γ = 1: D = {float(at['distance_mean']):.4f} "
        f"± {float(at['distance_stderr']):.4f}, "
        f"Σ = {float(at['entropy_mean']):.4f} ± {float(at['entropy_stderr']):.4f}, "
        f"converged {100 * local[algorithm].attrs['converged']:.0f} %"
    )

# %% [markdown]
# ## Flatness by several measures
#
# The same networks by other measures: errors when each weight is flipped with probability 0.02,
# errors under noise on the inputs, and the local entropy relative to its bound, Σ − H₂ (0 is as
# flat as can be). Each number has its standard error over solutions; Spearman's ρ says whether two
# measures rank the networks alike.

# %%
table = lsg_ray.flatness_table(*ensembles.values(), draws=max(10, round(50 * SIZE)), samples=200)
names = list(ensembles)
print(f"{'':44}", *(f"{name:17}" for name in names))
for q, about in enumerate(table["about"].values):
    cells = [
        f"{float(table['mean'][a, q]):+.4f} ± {float(table['stderr'][a, q]):.4f}"
        for a in range(len(names))
    ]
    print(f"{about:44}", *cells)

# %% [markdown]
# A difference of two algorithms counts if it exceeds twice √(σ₁² + σ₂²). With so few solutions,
# some of these comparisons must stay undetermined: then say so, and raise `ensemble.count`. A rank
# correlation is NaN where a quantity does not vary (all solutions make 0 errors), which is no
# correlation of zero; and ρ = ±1 with an error of 0 says only that these few solutions are ordered
# alike, whichever of them one draws.

# %%
rank, rank_error = table["spearman"].values, table["spearman_stderr"].values
labels = [str(name) for name in table["quantity"].values]
for q in range(1, len(labels)):
    rho, error = rank[0, q], rank_error[0, q]
    verdict = "undetermined" if abs(rho) < 2 * error else "related"
    text = f"ρ = {rho:+.2f} ± {error:.2f}  {verdict}" if np.isfinite(rho) else "does not vary"
    print(f"{labels[0]} and {labels[q]:16}: {text}")

# %% [markdown]
# ## Theory
#
# For N → ∞ replica theory gives the entropy of all solutions, the capacity, and the entropy φ of
# the *densest* regions of given overlap q₁ around a centre at distance (1 − √q₁)/2. It holds for
# typical patterns; one set of αN patterns scatters around it by about 1/√N.

# %%
theory = lsg_ray.replica_entropy([P / N])
measured = float(local["focusing-bp"].attrs["solution_entropy"])
expected = float(theory["entropy"][0])
print(f"entropy of all solutions: theory {expected:.4f}, these patterns {measured:.4f}")
print(f"capacity: α_c = {theory.attrs['capacity']:.4f}")
densest = lsg_ray.dense_regions([P / N], overlaps=np.round(np.linspace(0.3, 0.98, 18), 2))
figure, axes = plt.subplots()
for algorithm, found in local.items():
    axes.errorbar(
        found["distance_mean"], found["entropy_mean"],
        found["entropy_stderr"], found["distance_stderr"], fmt="o", label=algorithm,
    )  # fmt: skip
axes.plot(densest["distance"], densest["entropy"][0], "-", label="densest regions, N → ∞")
axes.plot(densest["distance"], densest["bound"], "--", label="of all configurations")
axes.set(xlabel="distance D", ylabel="entropy per weight (nats)")
axes.legend()
figure.savefig(OUT / "local-entropy.png")
print("figure:", OUT / "local-entropy.png")

# %% [markdown]
# Around a typical solution, which is isolated, the entropy would vanish at short distances. Around
# these it does not: they lie in a dense region.
#
# ## What next
#
# - `lsg run jobs/specs/wfm-perceptron.yaml --out wfm` does this at N = 1001, with a report.
# - Committees, on the sphere too: `jobs/specs/wfm-committee.yaml`, with Hessians and test errors.
# - `cluster.py`: the same on many machines.
