"""Public functions say what they take and return, in types that have one name each."""

import ast
from pathlib import Path

import pytest

import lsg_ray

ROOT = Path(lsg_ray.__file__).parent
MODULES = {file.relative_to(ROOT).as_posix(): file for file in sorted(ROOT.rglob("*.py"))}

#: Where no type can be given, and why.
UNTYPED = {
    "ensemble/parsing.py:parse_json(return)": "the document of a stranger",
    "datasets/formats.py:unpickle_arrays(return)": "the pickle of a stranger",
    "results/graph.py:compute(return)": "what the tasks of the graph return",
    "registry.py:loaded(return)": "whatever a path of an import names",
    "registry.py:installed(return)": "whatever packages declare",
    "stage.py:evaluated(annotation)": "an annotation",
    "stage.py:evaluated(function)": "of any kind",
    "stage.py:evaluated(return)": "a type",
    "stage.py:unwrapped(return)": "a type",
    **dict.fromkeys(
        (
            "networks/family.py:Family.prepare(return)",
            "networks/family.py:Family.measure(arena)",
            "networks/sampling.py:prepare(return)",
            "networks/sampling.py:sample_configurations(arena)",
            "cluster/sample.py:prepared(return)",
            "networks/sampling.py:trainer_of(arena)",
            "cluster/sampler.py:sample_block(arena)",
            "cluster/sampler.py:Sampler.__init__(arena)",
            "cluster/calibration.py:Data.arena(return)",
        ),
        "what a family lays out for itself alone",
    ),
    **dict.fromkeys(
        (f"experiments/experiment.py:merged({one})" for one in ("tree", "changes", "return")),
        "of YAML, before it is checked",
    ),
    "cli/options.py:Option.__init__(settings)": "of click",
    "cli/options.py:Argument.__init__(settings)": "of click",
    "cluster/private.py:job_client(return)": "Ray's, which may not be imported",
    "cluster/private.py:job_client(options)": "of requests",
    "cluster/progress_actor.py:ProgressPoll.__init__(actor)": "the handle of an actor",
    "cluster/sampler.py:Sampler.__init__(progress)": "the handle of an actor",
    "loss_landscape/terrain.py:run_protocol(arguments)": "of a function of any protocol",
    "loss_landscape/terrain.py:run_protocol(return)": "of a function of any protocol",
    "spec/steps.py:readable_steps(study)": "of YAML, before it is checked",
    "report/style.py:colour_bar(options)": "of matplotlib",
    "report/style.py:colour_bar(axes)": "one panel, or an array of them",
    "report/style.py:colour_bar(image)": "whatever has colours",
    "ising/fit.py:fit_models(options)": "of a method that is chosen by name",
    "ising/fit.py:fit_models(given)": "of a method that is chosen by name",
    "ising/boltzmann.py:fit_boltzmann(options)": "of a method that is chosen by name",
    "ising/boltzmann.py:fit_parts(options)": "of a method that is chosen by name",
    "ising/permuted_models.py:permutation_effect(options)": "of a method that is chosen by name",
}
#: Arrays that have a name in `lsg_ray.typing`.
SPELLED_OUT = {
    f"NDArray[{kind}]"
    for kind in ("Any", "np.float64", "np.float32", "np.int64", "np.bool_", "np.uint8")
}


def _annotations(tree, prefix=""):
    """Yield ``name(argument)`` and the annotation of all that public functions take and return."""
    for node in tree.body:
        if getattr(node, "name", "_").startswith("_") and getattr(node, "name", "")[:2] != "__":
            continue
        if isinstance(node, ast.ClassDef):
            yield from _annotations(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            named = [node.args.vararg, node.args.kwarg, *node.args.posonlyargs, *node.args.args]
            for one in [*named, *node.args.kwonlyargs]:
                if one is not None and one.annotation is not None:
                    yield f"{prefix}{node.name}({one.arg})", one.annotation
            if node.returns is not None:
                yield f"{prefix}{node.name}(return)", node.returns


def _names(annotation):
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _names(ast.parse(node.value, mode="eval"))
        yield getattr(node, "id", getattr(node, "attr", None))


def test_public_functions_take_and_return_no_any():
    untyped = {
        f"{module}:{where}"
        for module, file in MODULES.items()
        for where, annotation in _annotations(ast.parse(file.read_text()))
        # The explorer's panes and plots are of Panel and HoloViews, which have no types.
        if "Any" in _names(annotation) and not module.startswith("explore/")
    }
    assert untyped == set(UNTYPED)


@pytest.mark.parametrize("module", MODULES)
def test_types_are_named_once(module):
    if module == "typing.py":
        return
    tree = ast.parse(MODULES[module].read_text())
    shared = ast.parse(MODULES["typing.py"].read_text())
    names = {node.target.id for node in shared.body if isinstance(node, ast.AnnAssign)}
    for node in ast.walk(tree):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        assert not names & {getattr(one, "id", None) for one in targets}
        if isinstance(node, ast.Subscript):
            assert ast.unparse(node) not in SPELLED_OUT
