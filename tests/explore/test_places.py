"""What is found in folders, and what is refused."""

import pytest

from lsg_ray.errors import InputError
from lsg_ray.explore.places import find_places


def test_a_run__is_its_ensemble_and_its_results(run_folder):
    places = find_places([str(run_folder)])
    names = [place.name for place in places]
    assert names[0] == "toy/ensemble"
    assert sorted(names[1:]) == [
        f"toy/{name}"
        for name in (
            "cluster",
            "damaged",
            "map",
            "model",
            "moments",
            "moments-2",
            "moments-3",
            "overlaps",
            "overlaps-LB",
            "stranger",
        )
    ]
    by_name = {place.name: place for place in places}
    assert by_name["toy/ensemble"].kind == "store"
    assert by_name["toy/model"].kind == "model"
    assert by_name["toy/moments"].declared.name == "moments"
    assert by_name["toy/stranger"].declared is None
    assert by_name["toy/ensemble"].ensemble().n_rows == 60
    assert by_name["toy/moments"].result().sizes["weight"] == 15


def test_folders_of_runs_and_single_stores(run_folder):
    assert [place.name for place in find_places([str(run_folder / "map.zarr")])] == ["map.zarr"]
    inner = find_places([str(run_folder.parent)])
    assert inner[0].name == f"{run_folder.parent.name}/toy/ensemble"
    twice = find_places([str(run_folder), f"{run_folder}/"])
    assert len({place.name for place in twice}) == len(twice) == 22


def test_damaged_results__are_listed_and_say_so_when_opened(run_folder):
    place = find_places([str(run_folder / "damaged.zarr")])[0]
    with pytest.raises(InputError, match=r"damaged\.zarr"):
        place.result()


@pytest.mark.parametrize("name", ["nothing", "empty", "text.txt", "memory://nowhere"])
def test_places_without_anything__are_refused_in_a_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("x")
    path = name if "://" in name else str(tmp_path / name)
    with pytest.raises(InputError, match="name ") as error:
        find_places([path])
    assert "\n" not in str(error.value)
    assert path in str(error.value)
