"""Layers as rows, whatever their names are."""

from diagnose.dashboard.layer_tree import DEEPEST, depths_of, rows_of


def test_paths_of_thousands_of_parts_are_followed_only_so_far():
    names = [f"m{number}.{'a.' * 20_000}x" for number in range(30)]
    assert depths_of(names) == DEEPEST
    assert [row.members for row in rows_of(names, None)] == [(place,) for place in range(30)]


def test_layers_of_the_same_name_have_a_row_each_also_where_their_group_is_unfolded():
    rows = rows_of(["a.x", "a.x", "b"], 1, frozenset(["a", "a.x"]))
    assert [row.members for row in rows] == [(0,), (1,), (2,)]
