"""Selective execution: chosen steps alone run; what they refer to comes from an earlier execution.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-selective-ex.html
"""

import json

from localaws.sagemaker import graph
from localaws.sagemaker.service import validation_error
from localaws.store import Document, Store

FINISHED = ("Succeeded", "Failed", "Stopped")


def source_of(store: Store, pipeline_arn: str, config: Document) -> Document | None:
    """The earlier execution that a SelectiveExecutionConfig names; ApiError unless it is one that has ended."""
    source_arn = config.get("SourcePipelineExecutionArn")
    if source_arn is None:
        return None
    source = store.get("execution", source_arn)
    if source is None or source["PipelineArn"] != pipeline_arn:
        raise validation_error(f"The source execution {source_arn} is not one of this pipeline.")
    if source["PipelineExecutionStatus"] not in FINISHED:
        status = source["PipelineExecutionStatus"]
        raise validation_error(f"The source execution {source_arn} is {status}; it has to be one of {FINISHED}.")
    return source


def check(store: Store, text: str, config: Document) -> None:
    """Raise ApiError unless every selected step exists and has what it refers to."""
    definition = json.loads(text)
    names = {step["Name"] for step in graph.steps(definition)}
    selected = selected_steps(config)
    unknown = sorted(selected - names)
    if unknown:
        raise validation_error(f"Selected steps {', '.join(unknown)} are not in the pipeline definition.")
    results = earlier_results(store, config)
    for name, needed in graph.dependencies(definition).items():
        missing = sorted(needed - selected - set(results)) if name in selected else []
        if missing:
            raise validation_error(
                f"The selected step {name} depends on {', '.join(missing)}, which is neither selected nor has "
                "succeeded in a source execution."
            )


def selected_steps(config: Document) -> set[str]:
    """The names of the selected steps."""
    return {each["StepName"] for each in config["SelectedSteps"]}


def earlier_results(store: Store, config: Document) -> Document:
    """Step name -> result of the steps that are not selected and have succeeded in the source execution."""
    source, selected = config.get("SourcePipelineExecutionArn"), selected_steps(config)
    steps = store.all(f"step {source}") if source else []
    return {
        step["StepName"]: step["Result"]
        for step in steps
        if step["StepStatus"] == "Succeeded" and step["StepName"] not in selected
    }
