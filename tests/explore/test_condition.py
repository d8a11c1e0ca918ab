"""What is wrong with a condition is said while it is typed; words are those of the store."""

import html

import param

from lsg_ray.explore import session  # noqa: F401 - loads what draws plots
from lsg_ray.explore.condition import MAX_OFFERED, completions, condition_field

from .test_views import texts

COLUMNS = ("accuracy", "trial", "test_accuracy")


class Owner(param.Parameterized):
    where = param.String()


def test_faults_are_shown_below__and_nothing_is_applied():
    owner = Owner()
    field, _, wrong, _ = condition_field(owner, COLUMNS)
    field.value_input = "accuracy > 0.8 and nothing"
    said = html.unescape(texts(wrong)[0])
    assert "^^^^^^^" in said
    assert owner.where == ""
    field.value_input = field.value = "accuracy > 0.8"
    assert len(wrong) == 0
    assert owner.where == "accuracy > 0.8"
    owner.where = "trial == 0"
    assert field.value == "trial == 0"


def test_words_are_completed__and_applied_when_one_says_so():
    owner = Owner()
    field, offered, _, _ = condition_field(owner, COLUMNS)
    field.value_input = "trial == 0 and a"
    assert [button.label for button in offered] == ["accuracy", "and", "abs"]
    offered[0].clicks += 1
    assert field.value == "trial == 0 and accuracy"
    assert owner.where == ""
    field.value = "trial == 0 and accuracy > 0.5"
    assert owner.where == "trial == 0 and accuracy > 0.5"


def test_completions__are_of_the_last_word():
    assert completions("te", COLUMNS) == ["test_accuracy"]
    assert completions("accuracy > ", COLUMNS) == completions("", COLUMNS) == []
    assert completions("accuracy", COLUMNS) == []
    assert len(completions("a", tuple(f"a{n}" for n in range(99)))) == MAX_OFFERED
