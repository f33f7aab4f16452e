"""The command line: a verdict or a report of a saved run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from pm_statmech.errors import PmStatmechError, TreeError
from pm_statmech.reporting import report, verdict


def opened(path: Path) -> xr.DataTree:
    """A saved DataTree, of NetCDF or zarr, in memory.

    Raises
    ------
    TreeError
        no such file, or none that xarray reads.
    """
    if not path.exists():
        raise TreeError(f"there is no file {path}.")
    is_zarr = path.is_dir() or path.suffix == ".zarr"
    try:
        # a store without a table of contents is read as well, only more slowly
        with (
            xr.open_datatree(path, engine="zarr", consolidated=False)
            if is_zarr
            else xr.open_datatree(path, engine="h5netcdf")
        ) as tree:
            return tree.load()
    except (OSError, ValueError, KeyError) as error:
        raise TreeError(
            f"{path} is no DataTree that xarray reads ({error}). Save a run with "
            "dt.to_netcdf(path) or dt.to_zarr(path)."
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m pm_statmech``; 0 where the verdict is not bad, 1 where it is, 2 for errors.

    Examples
    --------
    >>> main(["verdict", "nowhere.nc"])
    2
    """
    parser = argparse.ArgumentParser(prog="python -m pm_statmech", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    said = commands.add_parser("verdict", help="print whether to believe a run")
    page = commands.add_parser("report", help="write one HTML page about a run")
    for command in (said, page):
        command.add_argument("run", type=Path, help="a run saved by to_netcdf or to_zarr")
    page.add_argument("-o", "--output", type=Path, help="by default beside the run, with .html")
    page.add_argument("--backend", choices=["matplotlib", "bokeh", "plotly"], help="of the figures")
    options = parser.parse_args(arguments)
    try:
        tree = opened(options.run)
        if options.command == "report":
            target = options.output or options.run.with_suffix(".html")
            if not target.parent.is_dir():
                raise TreeError(f"there is no folder {target.parent}.")
            print(report(tree, target, backend=options.backend))
            return 0
        found = verdict(tree)
    except (PmStatmechError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(found)
    return int(found.level == "bad")


if __name__ == "__main__":
    sys.exit(main())
