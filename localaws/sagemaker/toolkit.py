"""What SageMaker's training toolkit gives a script: its command line, its SM_* variables, its configuration files.

https://github.com/aws/sagemaker-training-toolkit/blob/master/ENVIRONMENT_VARIABLES.md
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any

from localaws.store import Document

HOST, GROUP = "algo-1", "homogeneousCluster"
# The hyperparameters that the toolkit takes for itself; further ones that begin with sagemaker_ are a framework's.
PREFIX = "sagemaker_"
OWN = (
    "sagemaker_program",
    "sagemaker_submit_directory",
    "sagemaker_enable_cloudwatch_metrics",
    "sagemaker_region",
    "sagemaker_container_log_level",
    "sagemaker_job_name",
    "sagemaker_s3_output",
    "default_user_module_name",
    "_tuning_objective_metric",
)
INPUT, CONFIG, OUTPUT = "/opt/ml/input", "/opt/ml/input/config", "/opt/ml/output"
CODE, MODEL = "/opt/ml/code", "/opt/ml/model"


def host(number: int) -> str:
    """The name of an instance, from 0: `algo-1`."""
    return f"algo-{number + 1}"


def decoded(text: str) -> Any:
    """A hyperparameter as the toolkit reads it: JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def script_parameters(hyperparameters: Document) -> Document:
    """The hyperparameters that the script gets."""
    return {name: value for name, value in hyperparameters.items() if not name.startswith(PREFIX) and name not in OWN}


def arguments(parameters: Document) -> list[str]:
    """`--depth 3 -n 1 --flag True`: sorted by name, one dash for names of one letter, values as Python prints them."""
    found = []
    for name in sorted(parameters):
        found += [f"--{name}" if len(name) > 1 else f"-{name}", _argument(parameters[name])]
    return found


def _argument(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={each}" for name, each in sorted(value.items()))
    return "" if value is None else str(value)


def command(program: str, code: Path, given: list[str]) -> list[str]:
    """The command of an entry point: a shell program, a package with a setup.py, or a Python script."""
    if program.endswith(".py") and not (code / "setup.py").exists():
        return ["python3", program, *given]
    if program.endswith(".sh") or not (code / "setup.py").exists():
        (code / program).chmod(0o755)
        return ["/bin/sh", "-c", shlex.join([f"./{program}", *given])]
    return ["python3", "-m", program.removesuffix(".py").replace("/", "."), *given]


def resource_config(resources: Document) -> Document:
    """resourceconfig.json of a training job of one instance."""
    kind = resources.get("InstanceType", "local")
    return {
        "current_host": HOST,
        "current_instance_type": kind,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [{"instance_group_name": GROUP, "instance_type": kind, "hosts": [HOST]}],
        "network_interface_name": "eth0",
    }


def input_data_config(channels: list[Document]) -> Document:
    """inputdataconfig.json: channel name -> how its data was provided."""
    found = {}
    for channel in channels:
        source = channel["DataSource"].get("S3DataSource", {})
        members = {
            "TrainingInputMode": channel.get("InputMode", "File"),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        if "ContentType" in channel:
            members["ContentType"] = channel["ContentType"]
        found[channel["ChannelName"]] = members
    return found


def write_configuration(folder: Path, job: Document) -> None:
    """The files of /opt/ml/input/config."""
    files = {
        "hyperparameters": job.get("HyperParameters", {}),
        "resourceconfig": resource_config(job["ResourceConfig"]),
        "inputdataconfig": input_data_config(job.get("InputDataConfig", [])),
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def environment(job: Document, hyperparameters: Document) -> dict[str, str]:
    """The SM_* variables. hyperparameters: decoded, the toolkit's own included."""
    resources, channels = resource_config(job["ResourceConfig"]), input_data_config(job.get("InputDataConfig", []))
    parameters = script_parameters(hyperparameters)
    program = str(hyperparameters["sagemaker_program"])
    common = {
        "channel_input_dirs": {name: f"{INPUT}/data/{name}" for name in channels},
        "current_host": HOST,
        "current_instance_group": GROUP,
        "current_instance_group_hosts": [HOST],
        "current_instance_type": resources["current_instance_type"],
        "distribution_hosts": [HOST],
        "distribution_instance_groups": [],
        "framework_module": None,
        "hosts": [HOST],
        "input_config_dir": CONFIG,
        "input_data_config": channels,
        "input_dir": INPUT,
        "instance_groups": [GROUP],
        "instance_groups_dict": {GROUP: resources["instance_groups"][0]},
        "is_hetero": False,
        "log_level": hyperparameters.get("sagemaker_container_log_level", 20),
        "model_dir": MODEL,
        "module_dir": hyperparameters.get("sagemaker_submit_directory", CODE),
        "module_name": program.removesuffix(".py"),
        "network_interface_name": resources["network_interface_name"],
        "num_cpus": os.cpu_count() or 1,
        "num_gpus": 0,
        "num_neurons": 0,
        "output_data_dir": f"{OUTPUT}/data",
        "output_dir": OUTPUT,
        "output_intermediate_dir": f"{OUTPUT}/intermediate",
        "resource_config": resources,
        "user_entry_point": program,
    }
    framework = {name: value for name, value in hyperparameters.items() if name.startswith(PREFIX) and name not in OWN}
    training = {
        **common,
        "additional_framework_parameters": framework,
        "hyperparameters": parameters,
        "is_master": True,
        "job_name": job["TrainingJobName"],
        "master_hostname": HOST,
    }
    alone = ("channel_input_dirs", "distribution_hosts")
    variables = {name: value for name, value in common.items() if name not in alone}
    variables |= {"channels": sorted(channels), "framework_params": framework, "hps": parameters}
    variables |= {"training_env": training, "user_args": arguments(parameters)}
    variables |= {f"channel_{name}": path for name, path in common["channel_input_dirs"].items()}
    variables |= {f"hp_{name}": value for name, value in parameters.items()}
    return {f"SM_{name.upper()}": _variable(value) for name, value in variables.items()}


def _variable(value: Any) -> str:
    """A text as it is, nothing as an empty text, all else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
