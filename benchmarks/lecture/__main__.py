"""Run the sweeps of the lecture's claims, and write the pages from their records.

    python -m benchmarks.lecture run upsampling
    python -m benchmarks.lecture pages --check

`run` continues where it was stopped or killed. It writes `benchmarks/results/lecture/<name>.json` and the pages after
each sweep. `pages` writes pages and figures from the records alone.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lecture.claims import ROOT, Claim, chosen, load_claims
from benchmarks.lecture.pages import RECORDS, WORKERS, check, write
from benchmarks.lecture.records import pack, write_record
from benchmarks.lecture.verdicts import answer
from lit_cv.cli import main as litcv
from lit_cv.errors import UserError


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run the sweeps and write records and pages")
    run.add_argument("names", nargs="*", metavar="NAME", help="claims of claims.yaml (default: all)")
    pages = verbs.add_parser("pages", help="write the pages from the records")
    pages.add_argument("--check", action="store_true", help="write nothing; fail if a page is not up to date")
    return parser


def main(args: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Carry out the command; return the exit code."""
    options = make_parser().parse_args(args)
    os.chdir(root)
    try:
        if options.verb == "run":
            return run_claims(chosen(load_claims(Path()), options.names))
        found: Sequence[object] = check(Path()) if options.check else write(Path())
    except UserError as error:
        print(f"lecture: error: {error}", file=sys.stderr)
        return 1
    print(*found, sep="\n", end="\n" if found else "")
    return int(options.check and bool(found))


def run_claims(claims: Sequence[Claim]) -> int:
    """Run the sweeps one after the other, with record and pages after each; return 1 if one has failed."""
    failed = [claim.name for claim in claims if not run_claim(claim)]
    if failed:
        print(f"lecture: no record of {', '.join(failed)}; the errors are above.", file=sys.stderr)
    return int(bool(failed))


def run_claim(claim: Claim) -> bool:
    """Run or continue one sweep, report it, and write its record; return whether it has ended well."""
    report = ["report", str(claim.group), "--no-images", "--metric", claim.metric, "--baseline", claim.baseline]
    if litcv(["sweep", str(claim.sweep), "--workers", str(WORKERS)]) or litcv(report):
        return False
    try:
        answer(claim, claim.group)
        write_record(RECORDS / f"{claim.name}.json", pack(claim.group, claim.metrics))
        print(*write(Path()), sep="\n")
    except UserError as error:
        print(f"lecture: error: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
