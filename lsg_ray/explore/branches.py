"""Branches of a dendrogram: which leaves they hold, and which one a point is in.

Of M leaves, node k < M is a leaf and node M + k the cluster that merger k makes, as in SciPy's
linkage (M − 1, 4).  In the order of the leaves each branch is a range without gaps.
"""

from __future__ import annotations

import numpy as np

from lsg_ray.statistics.hierarchy import check_tree
from lsg_ray.typing import Floats, Ints


class Branches:
    """The branches of a tree.

    Parameters
    ----------
    tree
        Linkage (M − 1, 4): clusters a and b, height, number of leaves.

    Raises
    ------
    InputError
        It is no linkage.
    """

    def __init__(self, tree: Floats) -> None:
        from scipy.cluster.hierarchy import leaves_list

        tree = np.asarray(tree, np.float64)
        check_tree(tree)
        self.tree, self.count = tree, len(tree) + 1
        #: Leaves in their order (M,).
        self.order: Ints = leaves_list(tree).astype(np.int64)
        nodes = self.count + len(tree)
        #: First and last place, and height, of each node; the node that it is joined into, or −1.
        self.first, self.last = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
        self.first[self.order] = self.last[self.order] = np.arange(self.count)
        self.height = np.concatenate([np.zeros(self.count), tree[:, 2]])
        self.parent = np.full(nodes, -1)
        for k, (a, b) in enumerate(tree[:, :2].astype(np.int64), self.count):
            self.first[k] = min(self.first[a], self.first[b])
            self.last[k] = max(self.last[a], self.last[b])
            self.parent[a] = self.parent[b] = k

    def leaves(self, node: int) -> Ints:
        """Return the leaves of a branch in their order."""
        return self.order[self.first[node] : self.last[node] + 1]

    def at(self, place: float, height: float) -> int:
        """Return the largest branch that has the leaf at a place and is joined below a height."""
        node = int(self.order[self._nearest(place)])
        while self.parent[node] >= 0 and self.height[self.parent[node]] <= height:
            node = int(self.parent[node])
        return node

    def joined(self, place: float, other: float) -> int:
        """Return the smallest branch that has the leaves at two places."""
        low, high = sorted((self._nearest(place), self._nearest(other)))
        node = int(self.order[low])
        while self.last[node] < high:
            node = int(self.parent[node])
        return node

    def cut(self, count: int) -> list[int]:
        """Return the branches when all but the last ``count − 1`` mergers are done, in order."""
        undone = self.count + len(self.tree) - (min(count, self.count) - 1)
        roots = [n for n in range(undone) if not 0 <= self.parent[n] < undone]
        return sorted(roots, key=lambda node: int(self.first[node]))

    def lines(self, node: int) -> Floats:
        """Return the brackets of a branch as one line with gaps: (points, 2), leaves at 0, 1, …."""
        middle = np.empty(len(self.first))
        middle[self.order] = np.arange(self.count)
        drawn = []
        for k, (a, b) in enumerate(self.tree[:, :2].astype(np.int64), self.count):
            middle[k] = (middle[a] + middle[b]) / 2
            if self.first[node] <= self.first[k] and self.last[k] <= self.last[node]:
                top = self.height[k]
                drawn.append([
                    (middle[a], self.height[a]), (middle[a], top), (middle[b], top),
                    (middle[b], self.height[b]), (np.nan, np.nan),
                ])  # fmt: skip
        return np.array(drawn).reshape(-1, 2)

    def _nearest(self, place: float) -> int:
        return int(np.clip(np.rint(place), 0, self.count - 1))
