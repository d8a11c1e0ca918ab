# %% [markdown]
# # 3. An effective model and its entropy landscape
#
# An ensemble of configurations has moments m and C. The distribution of largest entropy with the
# same moments is an Ising model,
#
#     P(σ) = e^(−E(σ)) / Z,    E(σ) = −½ Σ_ij J_ij σ_i σ_j − Σ_i h_i σ_i    (β = 1, in nats).
#
# With a model one can ask what no sample answers: how many configurations are there, and how many
# at distance d from a given one? This tutorial fits a model, checks it, follows the entropy s(d),
# and says when a verdict on it is sound.
#
# It takes about half a minute on one core; files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lsg_ray

SIZE = 1.0  # 0.1 for a quick look: fewer configurations, larger errors
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(200, round(1000 * SIZE))
print(f"{COUNT} configurations, files in {OUT}")

# %% [markdown]
# ## A small ensemble
#
# Three of the ten digits, and a network 8-8-8-3 of 152 weights: seconds instead of hours.

# %%
(OUT / "small.yaml").write_text(
    f"""
name: small
dataset: {{name: digits, components: 8, classes: [0, 1, 2]}}
network: {{family: binary, widths: [8, 8, 8, 3]}}
training: {{learning_rate: 0.3, batch_size: 48, epochs: 20}}
ensemble: {{count: {COUNT}, threshold: 0.7, draws: 20, seed: 1}}
"""
)
lsg_ray.sample(lsg_ray.load_spec(OUT / "small.yaml"), OUT / "small.zarr", workers=0)
ensemble = lsg_ray.open_ensemble(OUT / "small.zarr")
print(ensemble)

# %% [markdown]
# ## Fit
#
# Boltzmann learning moves J and h until ⟨σ_i σ_j⟩ of the model are those of the data; persistent
# chains (`pcd`) estimate the former. Whatever the method, *new* Monte Carlo chains then measure how
# far the moments are off, `rms_C`, and the noise of that measurement. We fit two parts: the
# interior (`ITR`, the weights between the hidden layers) and the first layer (`LB`), 64 weights
# each.

# %%
fits = {}
for part in ("ITR", "LB"):
    given = ensemble.part(part)
    fits[part] = lsg_ray.fit_boltzmann(given, seconds=max(1.0, 5 * SIZE), threads=1)
    report = fits[part].report
    print(
        f"{part}: rms of C {report['rms_C']:.4f}, noise of the check {report['noise_C']:.4f}; "
        f"converged: {report['converged']} {report.get('reason', '')}"
    )
print(f"for comparison, C of {COUNT} configurations is known to about {1 / np.sqrt(COUNT):.4f}")

# %% [markdown]
# A fit far below the last number is better than the data deserve; one far above it has not used
# them. `converged: False` comes with its reason and is no disaster, but do not build on it.
#
# ## Check: what was not fitted
#
# Moments of three weights were not fitted. If the model predicts them too, pairs explain the
# ensemble. Compare ⟨δσ_i δσ_j δσ_k⟩ on random triples. Noise in the data alone lowers a correlation
# with the truth, so two halves of the data are compared as well. Where these do not agree with each
# other, there is no signal to be explained, and the check is undetermined: a model that agrees with
# the data all the same has learnt their noise.

# %%
half = COUNT // 2


def correlation(a: np.ndarray, b: np.ndarray) -> str:
    """Return Pearson's r, and its standard error by a bootstrap over triples."""
    draws = np.random.default_rng(0).integers(0, len(a), (200, len(a)))
    error = np.std([np.corrcoef(a[draw], b[draw])[0, 1] for draw in draws])
    return f"{np.corrcoef(a, b)[0, 1]:+.2f} ± {error:.2f}"


for part, fit in fits.items():
    given = ensemble.part(part)
    measured = lsg_ray.moments(given, triples=max(100, round(1000 * SIZE)))
    triples = np.stack([measured[name].values for name in "ijk"], axis=1)
    chains = lsg_ray.sample_model(
        fit.model, chains=256, draws=max(20, round(100 * SIZE)), triples=triples, threads=1
    )
    first, second = (
        lsg_ray.moments(given.where(where), triples=triples)["third_connected"].values
        for where in (f"configuration < {half}", f"configuration >= {half}")
    )
    model = chains["third_connected"].values
    print(
        f"{part}: r of model and data {correlation(model, measured['third_connected'].values)}, "
        f"of two halves of the data {correlation(first, second)}; R̂ of the chains "
        f"{chains.attrs['rhat_max']:.3f}"
    )

# %% [markdown]
# ## Scan
#
# A field x towards a reference σ* selects the distance d = (1 − Σ σ*_i m_i/N)/2:
#
#     P_x(σ) ∝ exp(−E(σ) + x Σ_i σ*_i σ_i),    s(d) = entropy per weight of P_x.
#
# The cavity method (belief propagation) solves it at each field, upwards and downwards. Where the
# two directions differ there are two states at one field: a transition of first order, with
# clusters far apart. Where they agree at all fields, s(d) is smooth.

# %%
steps = np.linspace(-1.4, 1.4, 29)
fields = np.round(steps * np.abs(steps), 3)  # denser near 0, where d changes fastest
scans = {
    part: lsg_ray.entropy_scan(fit.model, ensemble, fields, count=1) for part, fit in fits.items()
}
for part, scan in scans.items():
    print(
        f"{part}: {scan.attrs['verdict']}; {100 * scan.attrs['converged']:.0f} % of the solutions "
        f"have converged, {100 * float(scan['stable'].mean()):.0f} % are stable; "
        f"largest gap {scan.attrs['hysteresis']:.1e}"
    )
print("criterion:", scans["ITR"].attrs["criterion"])

# %% [markdown]
# ## Undetermined
#
# The verdict has three values. Where solutions have not converged or are unstable (de
# Almeida–Thouless), the cavity method has failed, and it cannot say that the landscape is smooth.
# Nor can a scan at fields of one sign alone. Take a model with a transition that is known, the
# Curie–Weiss ferromagnet, J_ij = K/N: its magnetization solves m = tanh(K m + x), with two
# solutions around x = 0 if K > 1.

# %%
N = 60
everywhere, positive = np.round(np.linspace(-0.6, 0.6, 25), 3), np.array([0.5, 1.0, 1.5])
for K in (0.5, 1.5):
    J = np.full((N, N), K / N) - np.eye(N) * K / N
    for name, chosen in (("of both signs", everywhere), ("of one sign", positive)):
        magnet = lsg_ray.entropy_scan((J, np.zeros(N)), np.ones((1, N)), chosen)
        verdict, gap = magnet.attrs["verdict"], magnet.attrs["hysteresis"]
        print(f"K = {K}, fields {name}: {verdict}, largest gap of d {gap:.3f}")

# %% [markdown]
# At fields of one sign no gap is found for either K, and yet at K = 1.5 there is a transition, on
# the other side. *Undetermined* says that this scan cannot exclude it, and the criterion above what
# would.
#
# ## How many configurations are there?
#
# s0 = s at x = 0 is the logarithm of their number, per weight. The cavity method gives it without
# an error, exact on trees and for weak couplings alone. Parallel tempering integrates the heat
# capacity from infinite temperature, S(1) = N ln 2 − ∫ C_v dT/T over T > 1, and has an error of its
# own.

# %%
for part, fit in fits.items():
    found = lsg_ray.thermodynamics(
        fit.model, ladders=8, burn_in=200, draws=max(50, round(300 * SIZE)), threads=1
    )
    attributes = scans[part].attrs
    print(
        f"{part}: s0 = {found.attrs['s']:.4f} ± {found.attrs['s_stderr']:.4f} nats per weight by "
        f"Monte Carlo, {attributes['s0']:.4f} by the cavity method, "
        f"stable: {bool(attributes['s0_stable'])}"
    )
print(f"for comparison, free weights have ln 2 = {np.log(2):.4f}")

# %% [markdown]
# Where the two differ by many errors, believe Monte Carlo: correlations around loops are what the
# cavity method neglects, and a stable solution is a necessary sign, not a sufficient one. `lsg
# anneal` then follows s(d) without it. The error is that of Monte Carlo for *this* model: what s0
# owes to the finite ensemble that the model was fitted to is not in it.
#
# ## States
#
# The TAP equations m_i = tanh(h_i + Σ_j J_ij m_j − m_i Σ_j J_ij² (1 − m_j²)) have one stable
# solution for each state. Random starts count them.

# %%
tap = lsg_ray.tap_states(fits["ITR"].model, starts=max(50, round(500 * SIZE)))
for name in ("states", "stable_states", "saddles", "undetermined_states"):
    print(f"{name:20} {tap.attrs[name]}")
print(f"{'converged':20} {100 * tap.attrs['converged']:.0f} % of the starts")

# %% [markdown]
# A count from random starts is a lower bound: a state with a small basin may have been missed. In
# the figure, points where the cavity method has failed are left out.

# %%
figure, axes = plt.subplots()
for part, scan in scans.items():
    stable = scan["stable"].values[0, 0].astype(bool)
    axes.plot(scan["d"].values[0, 0][stable], scan["s"].values[0, 0][stable], "o-", label=part)
d = np.linspace(0.001, 0.999, 200)
axes.plot(d, -d * np.log(d) - (1 - d) * np.log(1 - d), "--", label="all configurations at d")
axes.set(xlabel="distance d from the reference", ylabel="entropy s(d) per weight (nats)")
axes.legend()
figure.savefig(OUT / "entropy.png")
print("figure:", OUT / "entropy.png")

# %% [markdown]
# ## What next
#
# - The same as commands: `lsg fit STORE --out MODEL`, `lsg check MODEL STORE --out RESULT`, `lsg
#   scan MODEL --references STORE --out RESULT --figure s.png`, `lsg tap MODEL --out RESULT`.
# - `lsg run jobs/specs/deep-under.yaml --count 500 --out deep` is the paper's case, with a report.
#   There the interior is found nearly free, a liquid core, and the boundaries are not.
# - `loss_landscape.py`: the other landscape, of real weights.
