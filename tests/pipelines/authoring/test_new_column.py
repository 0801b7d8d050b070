"""The documented steps for a new column, in a copy of the repository: one edited file, and old rows stay right."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
COPIED = ("cloudformation", "evaluation", "ingestion", "localaws", "pipelines", "processing", "training", "warehouse")
LAST = '    Column("ph", "number", "feature", "pH", "Acidity", 2, 8),\n'
NEW = '    Column("attenuation_level", "number", "feature", "%", "Share of sugar fermented", 0, 100),\n'


class Copy:
    """A copy of the repository with a workspace, and its commands."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", ".local")
            shutil.copytree(ROOT / name, self.root / name, ignore=ignored)
        shutil.copy(ROOT / "README.md", self.root)
        self.workspace = folder / "workspace"

    def run(self, module: str, *arguments: str) -> Any:
        """A command's JSON, or its text."""
        command = [sys.executable, "-m", module, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]) if "--json" in arguments else done.stdout

    def local(self, module: str, *arguments: str) -> Any:
        """A command on the copy's workspace."""
        return self.run(module, *arguments, "--workspace", str(self.workspace))

    def changed(self) -> set[str]:
        """Files that differ from the repository's."""
        files = [path for path in self.root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {
            path.relative_to(self.root).as_posix()
            for path in files
            if path.read_bytes() != (ROOT / path.relative_to(self.root)).read_bytes()
        }


@pytest.mark.release
def test_a_column_is_added_by_one_edit_and_rows_of_both_schemas_are_read_and_accounted_for(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    old = copy.local("pipelines.run", "--local", "--json")
    copy.local("pipelines.registry", "approve", "1", "--local", "--note", "before the column")

    schema = copy.root / "ingestion/record.py"
    schema.write_text(schema.read_text().replace(LAST, LAST + NEW))
    edited = copy.changed()
    written = {line.removeprefix("wrote ") for line in copy.run("pipelines.authoring.generate").splitlines()}
    copy.run("pipelines.authoring.generate", "--check")
    copy.run("pipelines.checks")
    new = copy.local("pipelines.run", "--local", "--json")
    ledger = copy.local("pipelines.local", "ledger", "--json")
    reason = copy.local("pipelines.registry", "show", "2", "--local")
    copy.local("pipelines.local", "down")

    assert (edited, len(edited) <= 3) == ({"ingestion/record.py"}, True)
    assert copy.changed() == edited | written
    assert [result["model_package"]["version"] for result in (old, new)] == [1, 2]
    assert (ledger["accepted"], ledger["clean"], ledger["difference"]) == (650, 646, 0)
    assert "Error" not in reason
