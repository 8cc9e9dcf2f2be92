"""`make results`: every result of the documentation, studies on phantom data first."""

import os
import sys

from segclf.console import say
from segclf.study import experiments, results


def main() -> int:
    """Run what is missing; returns the worst exit code. Without real images these are not run."""
    codes = [experiments.main([])]
    if "SEGCLF_REALDATA" in os.environ:
        codes.append(results.main([]))
    else:
        say("SEGCLF_REALDATA does not name the folder with the image sets: recipes are not run")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
