"""A head of other labels than the task's is refused with both lists."""

import pytest

from adapterstilts.errors import AdapterError
from adapterstilts.hub.third_party import _label_order


def test_rows_follow_the_labels_whatever_their_case():
    assert _label_order(("no", "yes"), ("YES", "no")) == [1, 0]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (("a", "c"), "its labels are a, c (2), the task's are a, b (2)"),
        (("a", "b", "c"), "its labels are a, b, c (3), the task's are a, b (2)"),
        ((), "its labels are unknown, the task's are a, b (2)"),
        (("a", "A"), "its labels are a, A (2), the task's are a, b (2)"),
    ],
)
def test_a_mismatch_shows_both_lists(labels, shown):
    with pytest.raises(AdapterError) as caught:
        _label_order(("a", "b"), labels)
    assert str(caught.value).startswith(shown)
