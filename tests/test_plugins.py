"""A family of networks, a training algorithm and a data set of another package, one file each."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

TOY = {
    "toy_data.py": '''
        """Two clouds of pixels."""

        import numpy as np

        from lsg_ray.datasets.source import Part, Source


        def clouds(source, _contents):
            def part(count, seed):
                rng = np.random.default_rng(seed)
                labels = (np.arange(count) % 2).astype(np.uint8)
                pixels = rng.binomial(source.white, 0.4 + 0.2 * labels[:, None], (count, 6))
                return Part(pixels.astype(np.uint8), labels)

            return part(source.n_train, 1), part(source.n_test, 2)


        SOURCE = Source(
            "toy-clouds", clouds, n_train=60, n_test=20, n_classes=2, image_shape=(2, 3),
            licence="none", white=9, package="toy_data",
        )
    ''',
    "toy_family.py": '''
        """Committees of ±1 weights: hidden units of sign, the majority decides."""

        import numpy as np
        from pydantic import BaseModel

        from lsg_ray.ensemble.layout import scalars
        from lsg_ray.networks.family import Family


        class Options(BaseModel, extra="forbid"):
            bias: float = 0.0


        class Committee(Family):
            name, about, signs, algorithm = "toy-committee", "committees", True, "toy-search"
            config = Options
            defaults = {"dataset": {"components": None}, "ensemble": {"threshold": 0.5}}
            measures = ("accuracy", "loss", "test_accuracy")

            def activation(self, network, layer, z):
                return np.where(z >= 0, 1.0, -1.0)

            def columns(self, spec):
                return scalars({
                    "accuracy": ("<f8", "accuracy"), "loss": ("<f8", "share of errors"),
                    "test_accuracy": ("<f8", "accuracy on the test set"), "trial": ("<i4", "trial"),
                })

            def prepare(self, spec, dataset):
                return dataset.train.x - 0.5, dataset.train.y, dataset.test.x - 0.5, dataset.test.y

            def evaluate(self, spec, weights, x, y):
                z = self.outputs(spec.network, weights, x) + spec.network.options.get("bias", 0.0)
                right = (z.argmax(axis=1) == y).mean(axis=1)
                return right, 1 - right

            def measure(self, spec, arena, weights):
                x, y, x_test, y_test = arena
                accuracy, loss = self.evaluate(spec, weights, x, y)
                tested, _ = self.evaluate(spec, weights, x_test, y_test)
                return {"accuracy": accuracy, "loss": loss, "test_accuracy": tested}

            def starts(self, spec, seeds):
                draws = [np.random.default_rng(s).integers(0, 2, spec.network.n_weights)
                         for s in seeds]
                return (2 * np.array(draws) - 1).astype(np.int8)


        FAMILY = Committee()
    ''',
    "toy_solver.py": '''
        """The best of some random configurations."""

        import numpy as np
        from pydantic import BaseModel, Field

        from lsg_ray.networks.algorithm import Algorithm, Candidate
        from lsg_ray.registry import FAMILIES
        from lsg_ray.rng import Stream, seed_sequence


        class Options(BaseModel, extra="forbid"):
            tries: int = Field(10, gt=0)


        def trainer(spec, arena, device):
            family = FAMILIES[spec.network.family]
            options = Options(**spec.training.options)

            def one(configuration, trial):
                seed = seed_sequence(spec.ensemble.seed, Stream.TRIAL, configuration, trial)
                rng = np.random.default_rng(seed)
                weights = rng.integers(0, 2, (options.tries, spec.network.n_weights)) * 2 - 1
                weights = weights.astype(np.int8)
                accuracy, _ = family.evaluate(spec, weights, arena[0], arena[1])
                best = int(accuracy.argmax())
                kept = np.array([weights[best]] * len(spec.snapshot_steps))
                return Candidate(float(accuracy[best]), weights[best], {}, kept)

            return lambda configurations, trial: [one(c, trial) for c in configurations]


        ALGORITHM = Algorithm("toy-search", ("toy-committee",), trainer, config=Options)
    ''',
}  # fmt: skip
POINTS = """[lsg_ray.plugins]
clouds = toy_data:SOURCE
committee = toy_family:FAMILY
search = toy_solver:ALGORITHM
"""
SPEC = """
name: toy
dataset: {name: toy-clouds}
network: {family: toy-committee, widths: [6, 3, 2], options: {bias: 0.25}}
training: {epochs: 3, options: {tries: 20}}
ensemble: {count: 30, snapshots: [0, 3], block_size: 10}
"""


@pytest.fixture(scope="module")
def lsg(tmp_path_factory):
    """Run the command beside the package of another author."""
    folder = tmp_path_factory.mktemp("plugins")
    site = folder / "site"
    (site / "toy-1.0.dist-info").mkdir(parents=True)
    (site / "toy-1.0.dist-info" / "METADATA").write_text("Name: toy\nVersion: 1.0\n")
    (site / "toy-1.0.dist-info" / "entry_points.txt").write_text(POINTS)
    for name, text in TOY.items():
        (site / name).write_text(textwrap.dedent(text))
    (folder / "toy.yaml").write_text(SPEC)

    def run(*words, code=0):
        path = os.pathsep.join([str(site), *sys.path])
        ran = subprocess.run(
            [sys.executable, "-m", "lsg_ray.cli", *map(str, words)], cwd=folder, text=True,
            capture_output=True, env={**os.environ, "PYTHONPATH": path}, timeout=120,
        )  # fmt: skip
        assert ran.returncode == code, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout if code == 0 else ran.stderr

    return run


def test_sampled_stored_and_measured(lsg):
    """On Ray: workers find what is installed by its name alone."""
    lsg("sample", "toy.yaml", "--out", "toy.zarr", "--workers", "1", "--json")
    assert json.loads(lsg("verify", "toy.zarr", "--json"))["sound"]
    info = json.loads(lsg("info", "toy.zarr", "--json"))
    assert (info["family"], info["rows"]) == ("toy-committee", 30)
    found = json.loads(lsg("moments", "toy.zarr", "--out", "m.zarr", "--json"))
    assert found["count"] == 30
    early = lsg("moments", "toy.zarr", "--snapshot", "0", "--out", "m0.zarr", "--json")
    assert json.loads(early)["count"] == 30
    shown = lsg("query", "toy.zarr", "--where", "accuracy > 0.5", "--limit", "2", "--format", "csv")
    assert shown.startswith("configuration,accuracy,loss,test_accuracy,trial")


def test_named_in_schema_list_and_errors(lsg):
    schema = json.loads(lsg("spec", "schema", "--json"))
    assert "toy-committee" in schema["$defs"]["NetworkSpec"]["properties"]["family"]["enum"]
    assert "toy-clouds" in schema["$defs"]["DatasetSpec"]["properties"]["name"]["enum"]
    assert "toy-clouds" in lsg("data", "list")
    for change, says in (
        ("training.options={tries: 0}", "training.options.tries: 0 given; input should be greater"),
        ("training.options={x: 1}", "training.options.x: 1 given; extra inputs are not permitted"),
        ("network.options={bias: x}", "network.options.bias: 'x' given"),
        ("training.algorithm=descent", "toy-committee networks are trained by toy-search"),
        ("network.widths=[5, 3, 2]", "pixels of toy-clouds need 6"),
        ("network.family=toy", "'toy' given; choose one of binary, relu, toy-committee"),
    ):
        told = lsg("sample", "toy.yaml", "--set", change, "--out", "x.zarr", code=2)
        assert says in told
