"""Write the reference of lsg_ray's public names, from their docstrings, as a page with search.

    pip install 'lsg-ray[docs]'
    python deploy/reference.py [FOLDER]      by default reference; open FOLDER/lsg_ray.html

It is read without a network.  Pages of exceptions and of what declares a method stand beside it.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

#: All public names, the exceptions, and what a method of another package is declared with; of
#: lsg_ray alone what is public, since its modules are how it is made.
MODULES = ("lsg_ray", "!lsg_ray\\.", "lsg_ray.errors", "lsg_ray.stage")


class AsWritten:
    """A type as its source has it: ``EnsembleLike``, not all that this stands for."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def as_written(annotation: Any, *_: object) -> Any:
    """Return an annotation without looking up the names in it, some of which load a library."""
    return AsWritten(annotation) if isinstance(annotation, str) else annotation


def undecorated(_: object) -> list[str]:
    """Return no decorators: ours check arguments, and are not part of a call."""
    return []


def write(folder: Path) -> None:
    """Write the pages; a warning of pdoc is an error."""
    import pdoc.doc
    import pdoc.doc_types
    import pdoc.render

    pdoc.doc.safe_eval_type = pdoc.doc_types.safe_eval_type = as_written
    pdoc.doc.Function.decorators = property(undecorated)
    pdoc.render.configure(docformat="numpy", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*MODULES, output_directory=folder)


def main(words: list[str]) -> int:
    """Run the command; return its exit code."""
    if len(words) > 1 or {"-h", "--help"} & set(words):
        print(__doc__)
        return 0 if len(words) == 1 else 2
    folder = Path(words[0] if words else "reference")
    if folder.exists() and not folder.is_dir():
        print(f"{folder} is a file; name a folder for the pages", file=sys.stderr)
        return 2
    try:
        write(folder)
    except ModuleNotFoundError as error:
        if error.name != "pdoc":
            raise
        print("pdoc is not installed: pip install 'lsg-ray[docs]'", file=sys.stderr)
        return 2
    print(folder / "lsg_ray.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
