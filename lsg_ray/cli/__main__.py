"""``python -m lsg_ray.cli``: the `lsg` command where its script is not on the path."""

from lsg_ray.cli import main

main()
