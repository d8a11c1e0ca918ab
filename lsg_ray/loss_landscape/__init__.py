"""The loss landscape of networks of real weights: walks, paths between solutions, curvature."""
