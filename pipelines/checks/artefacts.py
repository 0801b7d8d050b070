"""Loads what is checked: pipeline definition, state machines, templates and Lambda code, as they would be deployed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.authoring import archives
from pipelines.authoring.templates import Template, load, resources, text
from pipelines.checks import permissions_of_pipeline, permissions_of_stacks, permissions_of_state_machines
from pipelines.checks.asl import Machine
from pipelines.checks.permissions import Need, key_use


class Artefacts(NamedTuple):
    """What is deployed: machines and templates by name, sources by module.

    definition: as it is printed, in the settings' examples. of_stack: the same with `${...}` for what stacks fill in,
    so that its texts are the templates'.
    """

    definition: dict[str, Any]
    of_stack: dict[str, Any]
    machines: dict[str, Machine]
    templates: dict[str, Template]
    sources: dict[str, str]


def all_of_them() -> Artefacts:
    """All artefacts of this checkout."""
    from pipelines.authoring import committed, settings, workflows

    return Artefacts(
        definition=json.loads(committed.definition(settings.Settings())),
        of_stack=json.loads(committed.definition(settings.Settings(**permissions_of_pipeline.SETTINGS))),
        machines={name: json.loads(committed.machine(name)) for name in workflows.WORKFLOWS},
        templates=templates(),
        sources=sources(),
    )


def sources() -> dict[str, str]:
    """The Lambdas' modules: name -> Python text."""
    files = archives.folder_files("ingestion")
    return {f"ingestion.{name.removesuffix('.py')}": content.decode() for name, content in files.items()}


def templates(folder: Path = archives.ROOT / "cloudformation") -> dict[str, Template]:
    """The templates of an environment's stacks by name, intrinsics in their long form.

    The role that deploys them is not among them (tests/cloudformation/test_deploy_role.py checks it).
    """
    paths = sorted(path for path in folder.glob("*.yaml") if not path.stem.startswith("github"))
    return {path.stem: load(path) for path in paths}


def needs(artefacts: Artefacts, template: Template) -> dict[str, list[Need]]:
    """Role -> needs, for the roles of a template."""
    found = permissions_of_stacks.needs(template, artefacts.sources)
    for name, properties in machines_of(template):
        role = text(properties["RoleArn"]).strip("${}").split(".")[0]
        filled = {f"${{{key}}}": text(value) for key, value in properties.get("DefinitionSubstitutions", {}).items()}
        needed = permissions_of_state_machines.needs(artefacts.machines[name], name, filled)
        found.setdefault(role, []).extend(needed)
        if "LoggingConfiguration" in properties:
            found[role] += permissions_of_state_machines.log_delivery()
    if "ApproverRole" in template["Resources"]:
        found["ApproverRole"] = list(permissions_of_state_machines.approval())
    if "ModelRole" in template["Resources"]:
        found["ModelRole"] = list(permissions_of_pipeline.model_role(artefacts.of_stack))
    if "ScoringRole" in template["Resources"]:
        scoring = permissions_of_pipeline.scoring_role(artefacts.of_stack, artefacts.machines["score"])
        found["ScoringRole"] = list(scoring)
    if "PipelineRole" in template["Resources"]:
        found["PipelineRole"] = list(permissions_of_pipeline.pipeline_role(artefacts.of_stack))
        started_by = list(artefacts.machines.values())
        found["JobRole"] = list(permissions_of_pipeline.job_role(artefacts.of_stack, started_by))
    for of_role in found.values():
        of_role += list(key_use(of_role))
    # The endpoint, not its caller, uses the key.
    if "FrontRole" in template["Resources"]:
        asking = permissions_of_state_machines.RESOURCES["sagemaker:InvokeEndpoint"]
        found["FrontRole"] = [Need("sagemaker:InvokeEndpoint", each, "FrontMethod.Integration") for each in asking]
    return found


def machines_of(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """(workflow, properties) of every state machine of a template; its logical id is the workflow's name."""
    for name, properties in resources(template, "StepFunctions::StateMachine"):
        yield name.lower(), properties
