"""Snakemake that was imported once, for many dry runs: a process that forks for each of them.

Given a folder, the environment and arguments, as a line of JSON, the copy does what `python -m
snakemake` would do there. Nothing of the project is imported before, so that each sees the code
of its own folder.
"""

import json
import os
import sys
import tempfile
from pathlib import Path


def answer(folder: str, environment: dict[str, str], arguments: list[str]) -> tuple[int, str]:
    """The status of Snakemake in `folder`, and what it said."""
    with tempfile.TemporaryFile("w+") as said:
        if not (child := os.fork()):
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            sys.path.insert(0, folder)  # as `python -m` does
            sys.argv = ["snakemake", *arguments]
            cli.main()  # raises SystemExit, which ends the copy
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return status, said.read()


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    from snakemake import cli

    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(*json.loads(line))) + "\n")
        sys.stdout.flush()
