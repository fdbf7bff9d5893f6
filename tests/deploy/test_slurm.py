"""The prolog brings what a job's comment names, as the job's user, and never fails a node; the epilog removes it."""

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from dfly_hf.testing import FixtureHub

from .commands import BIN, ROOT

SLURM = ROOT / "deploy/slurm"
FILES = {"config.json": b"{}", "weights.bin": bytes(range(256)) * 64}
FAKES = {
    # what the real one does, but for the change of user: tests may run as anybody
    "runuser": 'printf "%s\\n" "$*" >>"$SAID"; shift 3; exec "$@"',
    "logger": 'printf "%s\\n" "$*" >>"$SAID"',
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Runs a script as slurmd does; gives its exit code and what was logged."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in FAKES.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    said = tmp_path / "said"

    def run(script: str, **env: str) -> tuple[int, str]:
        said.write_text("")
        own = {
            "DFLY_PATH": f"{tools}:{BIN}:/usr/bin:/bin",
            "DFLY_JOBS": str(tmp_path / "jobs"),
            "SAID": str(said),
            "SLURM_JOB_ID": "4711",
            "SLURM_JOB_USER": getpass.getuser(),
            "HF_HOME": str(tmp_path / "hf"),
            "DFLY_NO_DAEMON": "1",
        }
        done = subprocess.run([SLURM / script], env={**os.environ, **own, **env}, capture_output=True, text=True)
        return done.returncode, said.read_text() + done.stderr

    return run


@pytest.fixture
def hub(monkeypatch):
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.repo("o/r", FILES)
        yield running


@pytest.mark.parametrize("script", ["prolog.sh", "epilog.sh"])
def test_shellcheck_has_nothing_to_say_against_it(script):
    done = subprocess.run([BIN / "shellcheck", SLURM / script], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    assert os.access(SLURM / script, os.X_OK)


def test_a_job_finds_the_models_that_its_comment_names_and_they_go_with_it(slurm, hub, tmp_path):
    code, said = slurm("prolog.sh", SLURM_JOB_COMMENT="for the paper dfly:hf://o/r dfly:hf://o/r@main")
    job = tmp_path / "jobs/4711"
    assert code == 0
    for name in ("r", "r@main"):
        assert {file.name: file.read_bytes() for file in (job / name).iterdir()} == FILES, said
    assert job.stat().st_mode & 0o777 == 0o700
    assert f"-u {getpass.getuser()} -- dfget hf://o/r " in said
    (tmp_path / "jobs/4712").mkdir()
    assert slurm("epilog.sh")[0] == 0
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["4712"]


def test_a_model_that_does_not_come_is_logged_and_costs_no_node(slurm, hub):
    code, said = slurm("prolog.sh", SLURM_JOB_COMMENT="dfly:hf://o/nothing dfly:hf://o/r")
    assert code == 0
    assert "hf://o/nothing did not come" in said
    assert "hf://o/r is in" in said


@pytest.mark.parametrize(
    "comment", ["", "no model", "dfly:hf://o/..", "dfly:--help", "dfly:hf://o/r;id", "dfly:hf://o/$(id)"]
)
def test_what_is_no_model_runs_nothing(slurm, comment, tmp_path):
    assert slurm("prolog.sh", SLURM_JOB_COMMENT=comment) == (0, "")
    assert not (tmp_path / "jobs").exists()


@pytest.mark.parametrize("job", ["", "..", "4711/../4712", "x"])
def test_the_epilog_removes_nothing_but_a_jobs_own_folder(slurm, job, tmp_path):
    kept = tmp_path / "jobs/4712/r"
    kept.mkdir(parents=True)
    assert slurm("epilog.sh", SLURM_JOB_ID=job)[0] == 0
    assert kept.is_dir()
    assert Path(tmp_path / "jobs").is_dir()
