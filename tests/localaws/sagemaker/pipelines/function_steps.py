"""Python functions as steps: the @step decorator, with results that are handed on."""

import sagemaker
from running import run
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThan
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.function_step import step
from sagemaker.workflow.parameters import ParameterInteger
from sagemaker.workflow.pipeline import Pipeline

session = sagemaker.Session()
role = sagemaker.get_execution_role()
IMAGE = f"000000000000.dkr.ecr.{session.boto_region_name}.amazonaws.com/sagemaker-base-python-311:1.0"
settings = {"instance_type": "ml.m5.large", "role": role}


@step(name="Numbers", image_uri=IMAGE, **settings)
def numbers(count):
    """The first numbers."""
    return list(range(count))


# Without an image: the one that the program's environment names, as in Studio.
@step(name="Total", **settings)
def total(values):
    """Their sum."""
    return sum(values)


count = ParameterInteger("Count", default_value=5)
summed = total(numbers(count))
check = ConditionStep(
    name="Check",
    conditions=[ConditionGreaterThan(left=summed, right=5)],
    if_steps=[],
    else_steps=[FailStep(name="TooSmall", error_message="too small")],
)
pipeline = Pipeline(name="FunctionPipeline", parameters=[count], steps=[check], sagemaker_session=session)
execution = run(pipeline, role)
print(execution.result("Total"))
