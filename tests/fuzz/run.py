"""Fuzz one target for some seconds; the last line is a JSON object.

    python tests/fuzz/run.py NAME [--seconds 600] [--folder build/fuzz]

With atheris (Apache-2.0, `pip install atheris`) inputs are chosen by coverage; without it they are
random mutations of the seeds. Both stop at an exception that is no SegclfError, at an input that
takes more than 10 s, and above 1 GB of memory; the input is kept in the folder.
"""

import argparse
import importlib.util
import json
import random
import resource
import signal
import sys
import time
import warnings
from pathlib import Path

LIMIT_S, LIMIT_MB = 10, 1024
ROOT = Path(__file__).parents[2]
LIBRARIES = {
    "yaml": ["yaml"], "nifti": ["nibabel"], "nifti_gz": ["nibabel"], "dicom": ["pydicom"],
    "png": ["PIL"], "jpeg": ["PIL"], "tiff": ["tifffile", "PIL"],
}  # fmt: skip
"""Libraries whose branches guide a target, beside our own; each costs seconds at the start."""


def main() -> int:
    """Exit code 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/fuzz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="random mutations, without atheris")
    options = parser.parse_args()
    corpus = options.folder / options.name
    corpus.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    if options.plain or importlib.util.find_spec("atheris") is None:
        return mutate(options.name, options.seconds, options.seed, corpus)
    return guided(options.name, options.seconds, corpus)


def targets() -> dict:
    """The table of targets; imported late, so that atheris sees the imports."""
    sys.path.insert(0, str(Path(__file__).parent))
    from targets import MAX_INPUT_BYTES, TARGETS

    assert MAX_INPUT_BYTES
    return TARGETS


def guided(name: str, seconds: int, corpus: Path) -> int:
    """Run libFuzzer; it ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["segclf", *LIBRARIES.get(name, ())]):
        target = targets()[name]
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        f"-max_total_time={seconds}",
        f"-timeout={LIMIT_S}",
        f"-rss_limit_mb={LIMIT_MB}",
        "-max_len=4096",
        "-print_final_stats=1",
        f"-artifact_prefix={corpus}.found-",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], target.one_input)
    atheris.Fuzz()
    return 0


def mutate(name: str, seconds: float, seed: int, corpus: Path) -> int:
    """Random mutations of the seeds, each within the limits of time and memory."""
    rng, target = random.Random(seed), targets()[name]
    seeds, began, n_inputs = target.seeds(), time.monotonic(), 0
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # also ends what hangs in C
    current = Path(f"{corpus}.current")
    while time.monotonic() - began < seconds:
        data = changed(rng, rng.choice(seeds), rng.choice(seeds))
        current.write_bytes(data)
        signal.alarm(LIMIT_S)
        try:
            target.one_input(data)
        except BaseException as error:
            signal.alarm(0)
            found = Path(f"{corpus}.found-{seed}-{n_inputs}")
            found.write_bytes(data)
            print(f"{type(error).__name__}: {error} ({found})", file=sys.stderr)
            raise
        signal.alarm(0)
        n_inputs += 1
        if peak_mb() > LIMIT_MB:
            print(f"above {LIMIT_MB} MB of memory ({current})", file=sys.stderr)
            return 1
    found = {"name": name, "inputs": n_inputs, "seconds": seconds, "peak_mb": round(peak_mb())}
    print(json.dumps(found))
    return 0


def peak_mb() -> float:
    """The most memory that this process had; `ru_maxrss` would begin with that of its parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def changed(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to eight changes: bytes, numbers, cuts, copies, and parts of another seed."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at, n = rng.randint(0, len(made)), rng.randint(1, 16)
        kind = rng.randint(0, 6)
        if kind == 0 and made:
            made[at % len(made)] ^= 1 << rng.randint(0, 7)
        elif kind == 1 and made:
            made[at % len(made)] = rng.choice((0, 1, 127, 128, 255))
        elif kind == 2:
            del made[at : at + n]
        elif kind == 3:
            made[at : at + n] = rng.randbytes(n)
        elif kind == 4:
            made[at:at] = made[at : at + n] * rng.randint(1, 8)
        elif kind == 5:
            size = rng.choice((2, 4, 8))
            value = rng.choice((0, 1, -1, 2**15, 2**31 - 1, 2**31, 2**63 - 1, -(2**63)))
            made[at : at + size] = (value % 2 ** (8 * size)).to_bytes(
                size, rng.choice(("little", "big"))
            )
        else:
            start = rng.randint(0, len(other))
            made[at:at] = other[start : start + n]
    return bytes(made)


if __name__ == "__main__":
    sys.exit(main())
