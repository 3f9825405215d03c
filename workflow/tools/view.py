"""Look at a finished study in the browser: slides at full depth, and what was made of them.

    python -m workflow.tools.view results/demo [--slides sheet.tsv] [--port 8321]
    make view STUDY=demo

Serves one page on this machine only and prints its address, which holds a key that is drawn anew at
every start; ends with Ctrl-C. Reads slides and results and writes nothing. On a remote machine,
forward the port: ssh -L 8321:127.0.0.1:8321 machine, and open the address that is printed there.
"""

import argparse
import logging
import secrets
import sys
from pathlib import Path

import yaml

from workflow.lib.cohort.sheet import SheetError, read_slides
from workflow.lib.jobs.recipe import ROOT
from workflow.lib.viewer.server import Server, Site
from workflow.lib.viewer.studies import ViewedStudy

PAGE = ROOT / "workflow" / "report" / "viewer"
FILES = {
    "": ("viewer.html", "text/html; charset=utf-8"),
    "layers.css": ("layers.css", "text/css; charset=utf-8"),
    "layers.js": ("layers.js", "text/javascript; charset=utf-8"),
    "viewer.css": ("viewer.css", "text/css; charset=utf-8"),
    "viewer.js": ("viewer.js", "text/javascript; charset=utf-8"),
    "openseadragon.js": ("openseadragon.min.js", "text/javascript; charset=utf-8"),
}


def main(arguments: list[str]) -> int:
    """Serve until stopped; the exit status is 1 where there is nothing to look at."""
    parser = argparse.ArgumentParser(
        "view", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="a folder such as results/demo")
    parser.add_argument("--slides", type=Path, help="the slide sheet of the study")
    parser.add_argument("--port", type=int, default=8321, help="0 takes any free one")
    options = parser.parse_args(arguments)
    try:
        server = make_server(options.results, options.slides, options.port)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    count = len(server.site.study.slides)
    sys.stdout.write(f"{options.results}: {count} slides at {server.address} (Ctrl-C ends)\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    finally:
        server.server_close()
        server.site.study.close()
    return 0


def make_server(results: Path, sheet: Path | None, port: int) -> Server:
    """A server of a study, bound to its port.

    Raises ValueError where the study or its sheet cannot be used, OSError for a port in use.
    """
    if not (results / "tissue").is_dir():
        raise ValueError(f"{results}: there is no study here; run it first")
    try:
        slides = read_slides(sheet or find_sheet(results), labelled=True)
    except SheetError as error:
        raise ValueError(str(error)) from error
    study = ViewedStudy(results, slides)
    if not study.slides:
        raise ValueError(f"{results} has no slide of the sheet; give its own by --slides")
    files = {name: ((PAGE / file).read_bytes(), kind) for name, (file, kind) in FILES.items()}
    try:
        return Server(Site(study, files, secrets.token_urlsafe(16)), port)
    except OSError as error:
        raise OSError(f"Port {port} cannot be used ({error}); give another by --port") from error


def find_sheet(results: Path) -> Path:
    """The sheet that the project's own config names, where it is of this study.

    Raises ValueError where it is not.
    """
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    if config["study"] != results.resolve().name:
        raise ValueError(f"Say which slides {results} was made of: --slides sheet.tsv")
    return ROOT / config["slides"]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    sys.exit(main(sys.argv[1:]))
