# %% [markdown]
# # 7. Adding a method
#
# A method is one file: a function that returns a Dataset, and a `Stage` that declares what it reads
# and what it shows. The command, its help, the step of a study with its cache, the job and the
# section of the report follow. This tutorial adds one from outside, as an installed package does,
# without a change of lsg-ray, and ends with a claim that is tested.
#
# It takes about half a minute on one core; files go to `LSG_TUTORIAL_OUT`, or a temporary folder.

# %%
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import lsg_ray

SIZE = 1.0  # 0.2 for a quick look
OUT = Path(os.environ.get("LSG_TUTORIAL_OUT") or tempfile.mkdtemp(prefix="lsg-tutorial-"))
OUT.mkdir(parents=True, exist_ok=True)
COUNT = max(40, round(100 * SIZE))
print(f"{COUNT} configurations, files in {OUT}")

# %% [markdown]
# ## The physics
#
# Let S_u = Σ_j σ_uj be the total of the weights that *leave* hidden unit u to the classes. By
# fluctuation–dissipation its variance is the response of S_u to a common field on these weights, a
# susceptibility. Relative to independent weights with the same m,
#
#     χ/χ₀ = Σ_u Var(S_u) / Σ_uj (1 − m_uj²),
#
# which is 1 without correlations, above 1 if weights of a unit tend to be equal, below 1 if they
# balance. A unit tells classes apart best if it is for some and against others: we expect χ/χ₀ < 1
# in the last layer.
#
# ## One file
#
# Types and bounds of the options are those of the signature, the help is the docstring. The error
# is a jackknife over groups of configurations, which are independent of each other; weights are
# not.

# %%
SITE = OUT / "site"
SITE.mkdir(exist_ok=True)
(SITE / "unit_response.py").write_text(
    '''"""Response of the weights of a unit to a common field, relative to independent weights."""

import numpy as np
import xarray

from lsg_ray.errors import InputError
from lsg_ray.stage import ENSEMBLE, Figure, Stage
from lsg_ray.typing import EnsembleLike, Several


def ratio(sigma):
    """Return χ/χ₀ of weights (configuration, unit, weight of the unit)."""
    deviation = sigma - sigma.mean(axis=0)
    return (deviation.sum(axis=2) ** 2).sum() / (deviation**2).sum()


def unit_response(ensemble: EnsembleLike, *, groups: Several = 20) -> xarray.Dataset:
    """Response of the outgoing weights of units to a common field, by layer.

    Parameters
    ----------
    groups
        Number of groups of configurations of the jackknife.
    """
    sigma, network = ensemble.numpy().astype(float), ensemble.spec.network
    if len(sigma) < 2 * groups:
        raise InputError(f"{len(sigma)} configurations given; {groups} groups need {2 * groups}")
    values, errors = [], []
    for weights, shape in zip(network.layer_slices, network.shapes, strict=True):
        layer = sigma[:, weights].reshape(len(sigma), *shape).swapaxes(1, 2)
        parts = np.array_split(np.arange(len(sigma)), groups)
        without = [ratio(np.delete(layer, part, axis=0)) for part in parts]
        values.append(ratio(layer))
        errors.append(np.sqrt((groups - 1) * np.var(without)))
    return xarray.Dataset(
        {"response": ("layer", values), "response_stderr": ("layer", errors)},
        attrs={"statistic": "unit response", "last": values[-1], "last_stderr": errors[-1]},
    )


def figure(found):
    from lsg_ray.report.style import new_figure

    drawn = new_figure(2.0)
    axes = drawn.subplots()
    axes.errorbar(found["layer"], found["response"], 2 * found["response_stderr"], fmt="o")
    axes.axhline(1, linestyle="--")
    axes.set(xlabel="layer", ylabel="χ/χ₀")
    return drawn


def caption(found):
    last, error = found.attrs["last"], found.attrs["last_stderr"]
    text = f"Response relative to independent weights; last layer {last:.2f} ± {error:.2f}."
    return text, "Points with error bars of two standard errors, one a layer."


STAGE = Stage(
    "unit-response",
    unit_response,
    reads={"ensemble": ENSEMBLE},
    summary=("last", "last_stderr"),
    figures=[Figure("unit_response:figure", "Response of units", "caption")],
)
'''
)

# %% [markdown]
# ## As an installed plugin
#
# A package names the file in its `pyproject.toml`, and `pip install .` makes it known to all
# commands:
#
#     [project.entry-points."lsg_ray.plugins"]
#     unit-response = "unit_response:STAGE"
#
# pip leaves a folder with the metadata beside the module. To need no pip here, write the same
# folder.

# %%
about = SITE / "unit_response-1.0.dist-info"
about.mkdir(exist_ok=True)
(about / "METADATA").write_text("Metadata-Version: 2.1\nName: unit-response\nVersion: 1.0\n")
(about / "entry_points.txt").write_text("[lsg_ray.plugins]\nunit-response = unit_response:STAGE\n")
sys.path.insert(0, str(SITE))  # before the first use: what is installed is read once
print((about / "entry_points.txt").read_text())

# %% [markdown]
# ## From Python
#
# It is a plain function. First try it where the answer is known: independent weights of random
# signs must give 1 within two or three errors (one from 20 groups is itself known to a sixth). Then
# the trained networks.

# %%
import numpy as np
from unit_response import unit_response

(OUT / "digits.yaml").write_text(
    f"""
name: digits
dataset: {{name: digits, components: 20}}
network: {{family: binary, widths: [20, 15, 10]}}
training: {{learning_rate: 0.3, batch_size: 48, epochs: 40}}
ensemble: {{count: {COUNT}, threshold: 0.6, draws: 20, selection: test}}
study:
  response: {{stage: unit-response, groups: 20}}
"""
)
lsg_ray.sample(lsg_ray.load_spec(OUT / "digits.yaml"), OUT / "digits.zarr", workers=0)
ensemble = lsg_ray.open_ensemble(OUT / "digits.zarr")
coins = np.random.default_rng(0).choice([-1, 1], (COUNT, ensemble.n_weights)).astype(np.int8)
null = lsg_ray.write_ensemble(coins, OUT / "coins.zarr", network=[20, 15, 10], dataset="digits")
for name, given in (("independent", null), ("trained", ensemble)):
    found = unit_response(given)
    for layer in range(found.sizes["layer"]):
        value, error = float(found["response"][layer]), float(found["response_stderr"][layer])
        print(f"{name:12} layer {layer}: χ/χ₀ = {value:.2f} ± {error:.2f}")

# %% [markdown]
# ## As a command, with its figure
#
# Commands run in a new process, which finds the package as any other.

# %%
environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SITE), *filter(None, sys.path)])}


def lsg(*words: str) -> str:
    """Run a command as in a shell, and return what it prints."""
    print("$ lsg", *words)
    command = [sys.executable, "-m", "lsg_ray.cli", *words]
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


result, picture = OUT / "response.zarr", OUT / "response.png"
if not result.exists():
    words = (
        "unit-response",
        str(OUT / "digits.zarr"),
        "--out",
        str(result),
        "--figure",
        str(picture),
        "--json",
    )
    shown = json.loads(lsg(*words))
    print(f"last layer: {shown['last']:.3f} ± {shown['last_stderr']:.3f}; figure: {picture}")

# %% [markdown]
# `lsg unit-response --help`, the step `response` of the study above (`lsg run digits.yaml --out
# DIR`), its section of the report, and `lsg submit STORE --stage unit-response` follow from the
# declaration.
#
# ## A claim
#
# A claim is an interval that is written down *before* the number is known, and has three outcomes:
#
#     reproduced       value ± 2 errors lies inside,
#     not reproduced   value ± 2 errors lies outside,
#     undetermined     it reaches over the border: measure better, or say that you do not know.

# %%
from lsg_ray.experiments.claim import Claim, Measured, Results, Within


def last_layer(results: Results) -> Measured:
    """Return χ/χ₀ of the last layer."""
    attributes = results.steps["response"].attrs
    return Measured(attributes["last"], attributes["last_stderr"])


claim = Claim(
    statement="The weights from a unit to the classes balance.",
    source="this tutorial",
    quantity="χ/χ₀ of the last layer",
    measure=last_layer,
    holds=Within(high=1.0),
)
for name, given in (("trained", ensemble), ("independent", null)):
    judged = claim.judged(Results({"response": unit_response(given)}, {}), {})
    print(
        f"{name:12} {judged['value']:.2f} ± {judged['error']:.2f}, "
        f"{judged['criterion']}: {judged['verdict']}"
    )

# %% [markdown]
# Of independent weights the value is 1, on the border: the claim can be neither reproduced nor
# refuted by any number of configurations, only by chance one time in twenty. That is why a claim
# needs a border that its contrary does not sit on, where there is a choice.
#
# ## What next
#
# - README, "Develop": data sets, families of networks, training algorithms, fit methods and file
#   formats are added in the same way; `tests/toy/` has one short file of each.
# - To scale beyond memory, build on `ensemble.to_dask()`.
# - An `Experiment` joins a study and its claims: `lsg experiment list` shows those that there are.
