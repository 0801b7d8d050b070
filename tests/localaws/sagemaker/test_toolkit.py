"""The training toolkit's contract: what a script in script mode finds in its container."""

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.definitions import Project
from localaws.sagemaker import requirements, toolkit
from localaws.sagemaker.failures import JobFailed

DUMP = """
    import json, os, sys
    from pathlib import Path
    config = Path(os.environ['SM_INPUT_CONFIG_DIR'])
    found = {
        'arguments': sys.argv[1:],
        'cwd': os.getcwd() == os.path.dirname(os.path.abspath(__file__)),
        'path': os.getcwd() in sys.path,
        'environment': {name: value for name, value in os.environ.items() if name.startswith('SM_')},
        'files': {each.name: json.loads(each.read_text()) for each in sorted(config.iterdir())},
    }
    Path(os.environ['SM_OUTPUT_DATA_DIR'], 'found.json').write_text(json.dumps(found))
"""


def test_a_script_finds_what_the_toolkit_gives_it(project: Project) -> None:
    parameters = {"n": "3", "flag": "true", "name": '"two words"', "rate": "0.5", "sagemaker_region": '"us-east-1"'}
    rows = project.put("rows/rows.csv", "1,2\n").removesuffix("rows.csv")
    step = project.training("Train", DUMP, channels={"train": rows}, hyperparameters=parameters)
    run = project.run(step)
    name = run.steps()["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    # The folder for other files than the model's is an archive in S3.
    with tarfile.open(fileobj=io.BytesIO(project.get(f"models/{name}/output/output.tar.gz"))) as archive:
        found: dict[str, Any] = json.load(archive.extractfile("found.json"))  # type: ignore[arg-type]
    assert found["arguments"] == ["--flag", "True", "-n", "3", "--name", "two words", "--rate", "0.5"]
    assert (found["cwd"], found["path"]) == (True, True)
    assert set(found["files"]) == {"hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"}
    assert found["files"]["inputdataconfig.json"] == {
        "train": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    assert found["files"]["resourceconfig.json"]["hosts"] == ["algo-1"]
    environment = found["environment"]
    expected = {
        "SM_CHANNELS": '["train"]',
        "SM_CURRENT_HOST": "algo-1",
        "SM_CURRENT_INSTANCE_TYPE": "ml.m5.large",
        "SM_HOSTS": '["algo-1"]',
        "SM_HPS": '{"flag":true,"n":3,"name":"two words","rate":0.5}',
        "SM_HP_FLAG": "true",
        "SM_HP_NAME": "two words",
        "SM_LOG_LEVEL": "20",
        "SM_MODULE_NAME": "train",
        "SM_NUM_GPUS": "0",
        "SM_USER_ARGS": json.dumps(found["arguments"], separators=(",", ":")),
        "SM_USER_ENTRY_POINT": "train.py",
    }
    assert {name: environment.get(name) for name in expected} == expected
    for variable, ending in (("SM_CHANNEL_TRAIN", "input/data/train"), ("SM_OUTPUT_DIR", "output")):
        assert environment[variable].endswith(ending)
    assert json.loads(environment["SM_TRAINING_ENV"])["job_name"] == name
    documented = ("SM_NUM_CPUS", "SM_RESOURCE_CONFIG", "SM_INPUT_DIR", "SM_OUTPUT_INTERMEDIATE_DIR", "SM_MODULE_DIR")
    assert [each for each in documented if each not in environment] == []


@pytest.mark.parametrize(
    ("program", "files", "command"),
    [
        ("train.py", ("train.py",), ["python3", "train.py", "-n", "1"]),
        ("train.sh", ("train.sh",), ["/bin/sh", "-c", "./train.sh -n 1"]),
        ("train.sh", ("train.sh", "setup.py"), ["/bin/sh", "-c", "./train.sh -n 1"]),
        ("train.py", ("train.py", "setup.py"), ["python3", "-m", "train", "-n", "1"]),
    ],
)
def test_an_entry_point_is_run_by_its_kind(
    tmp_path: Path, program: str, files: tuple[str, ...], command: list[str]
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert toolkit.command(program, tmp_path, ["-n", "1"]) == command


def test_a_container_entry_point_runs_in_place_of_the_script(project: Project) -> None:
    step = project.training("Train", "")
    step["Arguments"]["AlgorithmSpecification"] |= {
        # A login shell finds this interpreter first, too.
        "ContainerEntrypoint": ["/bin/bash", "-l", "-c", 'command -v python3; echo "given $0 $1"'],
        "ContainerArguments": ["--a", {"Get": "Execution.PipelineName"}],
    }
    del step["Arguments"]["HyperParameters"]
    run = project.run(step)
    assert run.statuses() == {"Train": "Succeeded"}
    name = run.steps()["Train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    group = "/aws/sagemaker/TrainingJobs"
    stream = project.clients.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)["logStreams"][0]
    events = project.clients.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    messages = [each["message"] for each in events[-2:]]
    assert messages == [str(Path(sys.executable).parent / "python3"), f"given --a {project.name}"]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", None),
        ("# a comment\nnumpy\npandas>=1  # installed\nnot-here; python_version < '3'\n", None),
        ("numpy\nsurely-not-installed==1.0\n", "surely-not-installed==1.0"),
        ("numpy==0.0.1\n", "numpy==0.0.1"),
        ("-r other.txt\n", "-r other.txt"),
    ],
)
def test_requirements_are_satisfied_or_refused_in_words(tmp_path: Path, text: str, missing: str | None) -> None:
    if missing is None:
        assert requirements.folder_for(text, tmp_path / "cache") is None
        return
    with pytest.raises(JobFailed) as raised:
        requirements.folder_for(text, tmp_path / "cache")
    assert f"requirements.txt asks for {missing}, not installed here" in raised.value.reason
    assert not (tmp_path / "cache").exists()


def test_a_processing_container_has_its_configuration(project: Project) -> None:
    script = """
        import json
        config = INPUT.parents[1] / 'config'
        job = json.loads((config / 'processingjobconfig.json').read_text())
        hosts = json.loads((config / 'resourceconfig.json').read_text())
        kind = job['ProcessingResources']['ClusterConfig']['InstanceType']
        (OUTPUT / 'out' / 'found').write_text(f"{kind} {hosts['current_host']} {len(job['ProcessingInputs'])}")
    """
    run = project.run(project.processing("Step", script, outputs=("out",)))
    identifier = run.arn.rpartition("/")[2]
    assert project.get(f"out/{identifier}/Step/out/found") == b"ml.m5.large algo-1 1"
