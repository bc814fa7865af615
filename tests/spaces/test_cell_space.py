"""Spaces of cells: the order of edges, and what their shapes are refused for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import ReproError
from repro.spaces.cell_space import CellSpace, reductions
from repro.spaces.genotypes import CELL_SPACES

spaces = st.builds(CellSpace, st.just(("none", "a", "b")), st.integers(1, 3), st.just(1))


@given(spaces, st.integers(1, 6))
def test_edges_stand_by_node_then_by_source(space, nodes):
    edges = space.edges(nodes)
    assert edges == sorted(edges)
    assert set(edges) == {(node, source) for node in range(nodes) for source in range(space.inputs + node)}
    for node in range(nodes):
        assert edges[space.rows(node)] == [edge for edge in edges if edge[0] == node]
    assert space.nodes(len(edges), 3) == nodes
    assert len(space.edge_labels(nodes)) == len(edges)


@given(spaces, st.integers(1, 6))
def test_every_edge_belongs_to_one_source(space, nodes):
    groups, edges = space.by_source(nodes), space.edges(nodes)
    assert sorted(row for rows in groups for row in rows) == list(range(len(edges)))
    assert all(edges[row][1] == source for source, rows in enumerate(groups) for row in rows)
    assert all(groups)


@pytest.mark.parametrize("cell", CELL_SPACES)
def test_other_shapes_are_refused(cell):
    space = CELL_SPACES[cell]
    width = len(space.operations)
    for rows, columns in ((0, width), (space.inputs, width - 1), (2 * space.inputs, width)):
        with pytest.raises(ReproError, match=rf"alphas of shape \({rows}, {columns}\): expected {space.inputs} \+ "):
            space.nodes(rows, columns)


def test_reductions_stand_at_one_and_two_thirds():
    assert [reductions(cells) for cells in (3, 8, 20)] == [(1, 2), (2, 5), (6, 13)]
