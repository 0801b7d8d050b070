"""A Lambda step whose outputs feed a condition, and a callback step that another program answers."""

import io
import json
import threading
import zipfile

import boto3
import sagemaker
from running import show
from sagemaker.lambda_helper import Lambda
from sagemaker.workflow.callback_step import CallbackOutput, CallbackOutputTypeEnum, CallbackStep
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionEquals, ConditionNot
from sagemaker.workflow.execution_variables import ExecutionVariables
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import Join
from sagemaker.workflow.lambda_step import LambdaOutput, LambdaOutputTypeEnum, LambdaStep
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession

HANDLER = "def handler(event, context):\n    return {'statusCode': 200, 'size': event['width'] * 2, 'ready': True}\n"
session = PipelineSession()
role = sagemaker.get_execution_role()
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as packed:
    packed.writestr("index.py", HANDLER)
function = boto3.client("lambda").create_function(
    FunctionName="doubles",
    Runtime="python3.12",
    Role=role,
    Handler="index.handler",
    Code={"ZipFile": archive.getvalue()},
)
queue = boto3.client("sqs").create_queue(QueueName="callbacks")["QueueUrl"]
size = LambdaOutput(output_name="size", output_type=LambdaOutputTypeEnum.Integer)
ready = LambdaOutput(output_name="ready", output_type=LambdaOutputTypeEnum.Boolean)
measure = LambdaStep(
    name="Measure",
    lambda_func=Lambda(function_arn=function["FunctionArn"]),
    inputs={"width": 21, "run": ExecutionVariables.PIPELINE_EXECUTION_ID},
    outputs=[size, ready],
)
answer = CallbackOutput(output_name="answer", output_type=CallbackOutputTypeEnum.String)
ask = CallbackStep(
    name="Ask",
    sqs_queue_url=queue,
    inputs={"size": measure.properties.Outputs["size"]},
    outputs=[answer],
)
inner = ConditionStep(
    name="Inner",
    conditions=[ConditionNot(ConditionEquals(left=ask.properties.Outputs["answer"], right="no"))],
    if_steps=[FailStep(name="End", error_message=Join(on=" ", values=["answer:", ask.properties.Outputs["answer"]]))],
)
outer = ConditionStep(
    name="Outer",
    conditions=[ConditionEquals(left=measure.properties.Outputs["size"], right=42)],
    if_steps=[inner],
    else_steps=[FailStep(name="Wrong", error_message="the Lambda cannot double")],
)
pipeline = Pipeline(name="AskingPipeline", steps=[measure, ask, outer], sagemaker_session=session)


def answer_callbacks() -> None:
    """Answer the first callback."""
    sqs, client = boto3.client("sqs"), boto3.client("sagemaker")
    while True:
        for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
            body = json.loads(message["Body"])
            outputs = [{"Name": "answer", "Value": f"yes to {body['arguments']['size']}"}]
            client.send_pipeline_execution_step_success(CallbackToken=body["token"], OutputParameters=outputs)
            return


pipeline.upsert(role_arn=role)
answering = threading.Thread(target=answer_callbacks, daemon=True)
answering.start()
execution = pipeline.start()
try:
    execution.wait(delay=1, max_attempts=120)
except Exception as error:
    print(type(error).__name__)
show(execution)
