"""Print a constraint file with the oldest versions that pyproject.toml admits.

Usage: python tools/oldest.py > oldest.txt
"""

import re
import tomllib
from pathlib import Path


def main() -> None:
    """Print ``name==version`` for every lower bound of the dependencies and the extras."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in extras for line in extras[name])]
    bounds = [re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", line) for line in lines]
    print("\n".join(sorted({f"{bound[1]}=={bound[2]}" for bound in bounds if bound})))


if __name__ == "__main__":
    main()
