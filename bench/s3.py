"""dfly beside boto3 and aiobotocore, one process each, from one SeaweedFS on loopback, in one run.

    python -m bench.s3 --rounds 3

Two objects: one as boto3 uploads it, whose checksum of parts nobody can verify, and one with a CRC64NVME of the whole, which only
dfly verifies. Rounds are interleaved and the order of clients rotates. The best of each client counts: noise only slows down.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine
from bench.blobs import write_blob
from bench.measure import measure
from bench.results import RESULTS, save
from dfly.backend import build_options
from dfly.testing.lent import lent_tools
from dfly_s3.backend import S3Backend
from dfly_s3.testing import SeaweedFS

MIB = 1 << 20
SCRIPT = Path(__file__).with_name("s3_client.py")
Runs = dict[str, list[dict[str, float]]]


def aiobotocore_python(cache: Path) -> str | None:
    """The interpreter of an environment that has aiobotocore, made once; None where it cannot be made."""
    folder = cache / "aiobotocore"
    python = folder / "bin" / "python"
    base = str(Path(sys.base_prefix, "bin", "python3"))
    steps = [[base, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "--quiet", "aiobotocore"]]
    if python.exists() and not subprocess.run([str(python), "-c", "import aiobotocore"], check=False).returncode:
        return str(python)
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            print(f"aiobotocore: left out: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return None
    return str(python)


def upload(server: SeaweedFS, bucket: str, file: Path) -> dict[str, str]:
    """Store `file` as the two objects: what each is called → its key."""
    server.boto3.upload_file(str(file), bucket, "by-boto3")
    keys = server.environment()
    options = {
        "endpoint": server.url,
        "access_key_id": keys["AWS_ACCESS_KEY_ID"],
        "secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
    }
    with lent_tools() as tools:
        S3Backend(build_options(S3Backend, options, {}), tools).put(file, f"s3://{bucket}/with-checksum")
    return {"as boto3 uploads": "by-boto3", "with a checksum of the whole": "with-checksum"}


def download(
    python: str, name: str, bucket: str, key: str, size: int, root: Path, env: dict[str, str]
) -> dict[str, float]:
    """Run one client once, and check what it brought."""
    destination = root / "out.bin"
    destination.unlink(missing_ok=True)
    os.sync()  # or one client would pay for what the one before it has not written yet
    result = root / "result.json"
    argv = [python, str(SCRIPT), name, bucket, key, str(size), str(destination), str(result)]
    seen = measure(argv, env=env, cwd=root)
    if destination.stat().st_size != size:
        raise RuntimeError(f"{name} ended well without a right file")
    told: dict[str, float] = json.loads(result.read_text())
    return seen | told


def compare(
    clients: dict[str, str], bucket: str, key: str, *, size: int, rounds: int, root: Path, env: dict[str, str]
) -> Runs:
    """Every client in every round, another one first in each."""
    runs: Runs = {name: [] for name in clients}
    names = list(clients)
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            runs[name].append(download(clients[name], name, bucket, key, size, root, env))
        print(f"round {number + 1} of {rounds}: {key}", file=sys.stderr)
    return runs


def table(raw: dict[str, Any]) -> str:
    """The best of each client, and how many times faster dfly is: in the download alone, and in the whole process."""
    heads = f"{'download':>9}{'MB/s':>6}{'dfly is':>9}{'process':>9}{'dfly is':>9}{'cpu':>7}{'memory':>8}"
    lines = [f"{'object':<30}{'client':<13}{heads}"]
    for case in raw["cases"]:
        best = {
            name: {figure: min(run[figure] for run in runs) for figure in runs[0]}
            for name, runs in case["runs"].items()
        }
        ours = best["dfly"]
        for name, of in best.items():
            lines.append(
                f"{case['name']:<30}{name:<13}"
                f"{of['download']:>8.2f}s{raw['bytes'] / of['download'] / 1e6:>6.0f}{of['download'] / ours['download']:>8.2f}×"
                f"{of['seconds']:>8.2f}s{of['seconds'] / ours['seconds']:>8.2f}×"
                f"{of['cpu']:>6.2f}s{of['peak_memory'] / 1e6:>5.0f} MB"
            )
    note = f"load before the run: {raw['load']:.1f} on {raw['machine']['cpus']} CPUs"
    return "\n".join([*lines, note + ("; a busy machine, figures are of no use but as ratios" if raw["busy"] else "")])


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the table, keep the raw result."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.s3", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="runs of each client (3)")
    add("--size", type=int, default=256, metavar="MIB", help="the object (256 MiB)")
    add("--cache", type=Path, default=Path(__file__).with_name(".cache"), help="keeps aiobotocore (bench/.cache)")
    add("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    given = parser.parse_args(argv)
    size = given.size * MIB
    clients = {"dfly": sys.executable, "boto3": sys.executable}
    python = aiobotocore_python(given.cache)
    if python is not None:
        clients["aiobotocore"] = python
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="dfly-bench-") as folder, SeaweedFS() as server:
        root, bucket = Path(folder), server.bucket()
        write_blob(root / "blob", size)
        keys = upload(server, bucket, root / "blob")
        env = {"PATH": os.environ["PATH"], "HOME": str(root), **server.environment()}
        raw: dict[str, Any] = {
            "kind": "s3",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine.facts(),
            "load": load,
            "busy": load > 0.5,
            "bytes": size,
            "cases": [
                {
                    "name": name,
                    "runs": compare(clients, bucket, key, size=size, rounds=given.rounds, root=root, env=env),
                }
                for name, key in keys.items()
            ],
        }
    print(f"{table(raw)}\nraw: {save(raw, directory=given.results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
