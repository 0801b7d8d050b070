"""A folder is deleted only if it is a workspace, is no link to one, and holds nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localaws.__main__ import main as localaws
from localaws.errors import ExpectedError
from localaws.workspace import Workspace
from pipelines.authoring.archives import ROOT
from pipelines.local.__main__ import main as pipelines_local

COMMANDS = {
    "pipelines.local down": (pipelines_local, ["down", "--delete"]),
    "pipelines.local reset": (pipelines_local, ["reset"]),
    "localaws down": (localaws, ["down", "--delete"]),
}
NOT_A_WORKSPACE = "the folder is not a workspace"
FOREIGN_FILES = "the workspace holds files that are not the endpoint's: "


def written(folder: Path, *files: str, text: str = "mine") -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def made(folder: Path) -> Path:
    """A workspace of ours."""
    Workspace(folder).create()
    return folder


def linked(folder: Path) -> Path:
    made(folder.with_name("target"))
    folder.symlink_to("target")
    return folder


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


# What DIR is -> how it is made, and what the refusal says.
FOLDERS = {
    "a project": (lambda folder: written(folder, "thesis.tex", ".git/HEAD"), NOT_A_WORKSPACE),
    "an empty folder": (empty, NOT_A_WORKSPACE),
    "names that a workspace has": (
        lambda folder: written(folder, "endpoint.json", "models/a", "lock"),
        NOT_A_WORKSPACE,
    ),
    "another program's workspace.json": (
        lambda folder: written(folder, "workspace.json", text='{"format": "code"}'),
        NOT_A_WORKSPACE,
    ),
    "a workspace with a file of the user's": (
        lambda folder: written(made(folder), "notes.md"),
        FOREIGN_FILES + "notes.md",
    ),
    "a workspace with a hidden one": (lambda folder: written(made(folder), ".env"), FOREIGN_FILES + ".env"),
    "a workspace with a project in it": (
        lambda folder: written(made(folder), "a/b", "c", "d", "e"),
        FOREIGN_FILES + "a, c, d, ...",
    ),
    "a symbolic link": (linked, "the workspace is a symbolic link"),
}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes; folders and links without."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_not_a_workspace_alone_is_refused_and_keeps_every_byte(
    name: str, command: str, tmp_path: Path
) -> None:
    make, what = FOLDERS[name]
    folder = make(tmp_path / "my beers")
    before = contents(tmp_path)
    main, words = COMMANDS[command]
    with pytest.raises(ExpectedError) as refused:
        main([*words, "--workspace", str(folder)])
    assert (refused.value.what, refused.value.where, refused.value.code) == (what, str(folder), 2)
    assert contents(tmp_path) == before


def test_the_current_folder_is_refused_in_three_lines(tmp_path: Path) -> None:
    written(tmp_path, "thesis.tex", "endpoint.json")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.local", "down", "--delete", "--workspace", "."],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            f"Error: {NOT_A_WORKSPACE}",
            f"Where: {tmp_path}",
            "Try: give the workspace's own folder with --workspace DIR",
        ],
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["endpoint.json", "thesis.tex"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_workspace_of_ours_is_deleted_and_a_missing_one_is_no_error(command: str, tmp_path: Path) -> None:
    main, words = COMMANDS[command]
    folder = made(tmp_path / "my beers")
    for _ in range(2):
        assert main([*words, "--workspace", str(folder)]) == 0
        assert not folder.exists()
