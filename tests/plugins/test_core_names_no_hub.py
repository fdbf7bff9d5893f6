"""The core names no hub: what is said of one hub belongs into its plugin, or the next hub has to change the core."""

import re
from importlib import metadata
from pathlib import Path

from .bare import ROOT

#: What the hubs' tools, services and variables are called, besides the schemes and hosts of the plugins.
OTHER_NAMES = ("hugging[ _-]?face", "aws4?", "amazon", "amz", "boto3?", "botocore", "xet")

#: Lines that name one all the same, and why that is right.
ALLOWED = {
    (
        "globs.py",
        "File patterns as the Hugging Face Hub's own tools read them",
    ): "where the rules of the format are from",
    (
        "paths.py",
        'RESERVED = (".dfly", ".cache/huggingface")',
    ): "other tools' books in a user's folder, whatever the hub",
    ("origin/answers.py", '_PLAIN = frozenset({"", "identity", "aws-chunked"})'): "a Content-Encoding of many stores",
    ("testing/origin.py", "?X-Amz-Signature={signature}&X-Amz-Expires=3600"): "tests need links signed as clouds sign",
    ("testing/origin.py", 'get("X-Amz-Signature", [""])'): "the same link, read",
}


def names() -> re.Pattern[str]:
    claims = metadata.entry_points()
    schemes = {claim.name for claim in claims.select(group="dfly")} - {"http", "https"}
    hosts = {claim.name for claim in claims.select(group="dfly.hosts")}
    assert {"hf", "modelscope", "s3"} <= schemes
    words = (*sorted(schemes), *map(re.escape, sorted(hosts)), *OTHER_NAMES)
    # not \b: HF_TOKEN and x-amz-date are to be found, half is not
    return re.compile(rf"(?<![a-z])(?:{'|'.join(words)})(?![a-z0-9])", re.IGNORECASE)


def lines_that_name_a_hub(folder: Path) -> list[tuple[str, int, str]]:
    pattern = names()
    return [
        (str(file.relative_to(folder)), number, line.strip())
        for file in sorted(folder.rglob("*.py"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_line_of_the_core_names_a_hub():
    found = lines_that_name_a_hub(ROOT / "core" / "src" / "dfly")
    offenders = [
        f"core/src/dfly/{file}:{number}: {line}"
        for file, number, line in found
        if not any(file == where and text in line for where, text in ALLOWED)
    ]
    assert not offenders, "\n".join(["move this into the plugin, or say it of any hub:", *offenders])
    unused = [
        (where, text) for where, text in ALLOWED if not any(where == file and text in line for file, _, line in found)
    ]
    assert not unused, f"allowed, and no longer there: {unused}"


def test_a_hub_is_found_in_code_comments_and_variables(tmp_path):
    (tmp_path / "module.py").write_text(
        "env = 'HF_TOKEN'\nhalf = shelf = 1  # behalf\nurl = 's3://bucket'\nhost = 'www.modelscope.cn'\nms3 = s33x = 1\n"
    )
    assert [number for _, number, _ in lines_that_name_a_hub(tmp_path)] == [1, 3, 4]
