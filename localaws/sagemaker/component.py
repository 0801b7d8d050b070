"""SageMaker as a component of the endpoint: its operations, their routing, and its CloudFormation resources."""

from typing import Any

from localaws.control import Command
from localaws.ministack import patches
from localaws.sagemaker import authorization, pipeline_targets, step_functions, switches
from localaws.sagemaker.execution import Executions
from localaws.sagemaker.executions_api import Starts
from localaws.sagemaker.experiments import Experiments
from localaws.sagemaker.images import Images
from localaws.sagemaker.job_kinds import PROCESSING, TRAINING
from localaws.sagemaker.jobs import Jobs
from localaws.sagemaker.jobs_api import JobOperations
from localaws.sagemaker.lineage_api import LineageOperations
from localaws.sagemaker.model_cards import ModelCards
from localaws.sagemaker.package_groups import GROUP, PackageGroups
from localaws.sagemaker.pipeline_versions import PipelineVersions
from localaws.sagemaker.pipelines import Definitions
from localaws.sagemaker.registry import Registry
from localaws.sagemaker.search import Search
from localaws.sagemaker.service import ApiError, Service, arn
from localaws.sagemaker.serving import front
from localaws.sagemaker.serving.component import Serving
from localaws.sagemaker.tags import Tags
from localaws.sagemaker.transform import Transforms
from localaws.sagemaker.tuning import Tunings
from localaws.sagemaker.tuning_api import TuningJobs
from localaws.store import Document, Store
from localaws.workspace import Workspace


class SageMaker:
    """All of SageMaker's operations over the workspace's store."""

    def __init__(self, workspace: Workspace, time_scale: float) -> None:
        self.service = Service(Store(workspace.database))
        PackageGroups(self.service)
        Registry(self.service)
        jobs = Jobs(self.service, workspace.jobs)
        tunings = Tunings(jobs, TRAINING)
        for kind in (PROCESSING, TRAINING, Transforms(self.service.store).kind, tunings.kind):
            JobOperations(jobs, kind)
        TuningJobs(self.service)
        Images(self.service)
        LineageOperations(self.service)
        Experiments(self.service)
        ModelCards(self.service)
        Search(self.service)
        self.executions = Executions(self.service, jobs, time_scale)
        Definitions(self.service)
        PipelineVersions(self.service)
        Starts(self.service, self.executions)
        Tags(self.service)
        self.serving = Serving(self.service, workspace.models, time_scale)

    @property
    def commands(self) -> dict[str, Command]:
        """`/_localaws/sagemaker`: see switches."""
        return {"sagemaker": lambda arguments: {"switches": switches.command(self.service.store, arguments)}}

    def install(self) -> None:
        """Route SageMaker's requests here and add its resources to CloudFormation."""
        patches.add_service("sagemaker", self.service, target="SageMaker", sdk_prefix="SageMaker")
        patches.add_rest_service(
            "sagemaker-runtime",
            self.serving.runtime,
            path=r"^/endpoints/[^/]+/[a-z-]*invocations",
            sdk_name="sagemakerruntime",
            target="SageMakerRuntime",
            namespace="sagemaker",
        )
        front.install()
        step_functions.install()
        pipeline_targets.install(self.service)
        authorization.install()
        handlers = patches.module("services.cloudformation.provisioners")._RESOURCE_HANDLERS
        handlers["AWS::SageMaker::ModelPackageGroup"] = {
            "create": self._create_group,
            "update": self._update_group,
            "delete": self._delete_group,
        }

    def start(self) -> None:
        """Finish what an earlier process left unfinished."""
        self.executions.recover()
        self.serving.start()

    def close(self) -> None:
        """Stop what is running."""
        self.executions.close()
        self.serving.close()
        self.service.store.close()

    def _create_group(self, logical_id: str, properties: Document, stack_name: str) -> tuple[str, Document]:
        # The name is required in the template, so none is generated.
        group, owner = arn(f"{GROUP}/{properties['ModelPackageGroupName']}"), f"{stack_name}/{logical_id}"
        store = self.service.store
        with store.transaction():
            # A kill may have lost the stack's record of a group that it had created.
            if (store.get(GROUP, group) or {}).get("StackResource") != owner:
                self._call("CreateModelPackageGroup", properties)
                store.change(GROUP, group, lambda document: document.update(StackResource=owner))
        return group, {"ModelPackageGroupArn": group}

    def _update_group(self, physical_id: str, old: Document, new: Document, stack_name: str, *rest: Any) -> Any:
        if old.get("ModelPackageGroupName") == new.get("ModelPackageGroupName"):
            return physical_id, {"ModelPackageGroupArn": physical_id}
        return self._create_group("", new, stack_name)

    def _delete_group(self, physical_id: str, properties: Document) -> None:
        if self.service.store.get(GROUP, physical_id) is None:
            return
        self._call("DeleteModelPackageGroup", {"ModelPackageGroupName": physical_id})

    def _call(self, operation: str, request: Document) -> Document:
        try:
            return self.service.call(operation, request)
        except ApiError as error:
            raise ValueError(f"{error.code}: {error.message}") from error
