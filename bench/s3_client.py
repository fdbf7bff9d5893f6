"""One download from an S3 store by one client in this process: `s3_client.py CLIENT BUCKET KEY SIZE DESTINATION RESULT`.

Run as a script, by the interpreter that has the client: aiobotocore wants an older botocore than boto3, so it lives in an
environment of its own and nothing of dfly may be imported here but by dfly's own client. RESULT gets the seconds that the
download took, without interpreter and imports; where and as whom is in the environment.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

MIB = 1 << 20
PART, AT_A_TIME = 8 * MIB, 10  # what boto3 does by itself

Job = Callable[[], object]


def dfly(bucket: str, key: str, _: int, destination: str) -> Job:
    """`dfly.fetch`, as dfget calls it."""
    import botocore.auth
    import botocore.session  # noqa: F401 - imported when first needed, which is no download

    import dfly_s3.backend  # noqa: F401 - as botocore
    from dfly.node.fetch import fetch

    return lambda: fetch(f"s3://{bucket}/{key}", destination)


def boto3(bucket: str, key: str, _: int, destination: str) -> Job:
    """`download_file` with its own threads."""
    import boto3 as library

    client = library.client("s3")
    return lambda: client.download_file(bucket, key, destination)


def aiobotocore(bucket: str, key: str, size: int, destination: str) -> Job:
    """Ranges as boto3 cuts them, as many at a time; it has no downloads of its own."""
    from aiobotocore.session import get_session

    session: Any = get_session()

    async def part(client: Any, fd: int, start: int, turn: asyncio.Semaphore) -> None:
        async with turn:
            stop = min(start + PART, size)
            answer = await client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}")
            async with answer["Body"] as body:
                async for chunk in body.iter_chunks(MIB):
                    os.pwrite(fd, chunk, start)
                    start += len(chunk)

    async def download() -> None:
        turn = asyncio.Semaphore(AT_A_TIME)
        fd = os.open(destination, os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            async with session.create_client("s3") as client:
                await asyncio.gather(*(part(client, fd, start, turn) for start in range(0, size, PART)))
        finally:
            os.close(fd)

    return lambda: asyncio.run(download())


CLIENTS = {"dfly": dfly, "boto3": boto3, "aiobotocore": aiobotocore}


def main() -> None:
    """Do what the arguments say."""
    name, bucket, key, size, destination, result = sys.argv[1:]
    job = CLIENTS[name](bucket, key, int(size), destination)
    start = time.perf_counter()
    job()
    seconds = time.perf_counter() - start
    with open(result, "w") as file:
        json.dump({"download": seconds}, file)


if __name__ == "__main__":
    main()
