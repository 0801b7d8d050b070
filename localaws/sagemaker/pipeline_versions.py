"""Versions of pipelines: each CreatePipeline and UpdatePipeline stores one.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-versioning.html
"""

from localaws.sagemaker.pipelines import EXECUTION, VERSION, pipeline_of, version_of, versions_of
from localaws.sagemaker.service import Service, listing, now
from localaws.store import Document


class PipelineVersions:
    """Handlers of the pipeline version operations."""

    def __init__(self, service: Service) -> None:
        self.store = service.store
        service.add({"ListPipelineVersions": self.list_versions, "UpdatePipelineVersion": self.update})

    def list_versions(self, request: Document) -> Document:
        """ListPipelineVersions, newest first by default."""
        pipeline = pipeline_of(self.store, request["PipelineName"])
        found = versions_of(self.store, pipeline["PipelineArn"])
        last = {
            each.get("PipelineVersionId"): each["PipelineExecutionArn"]
            for each in self.store.all(EXECUTION)
            if each["PipelineArn"] == pipeline["PipelineArn"]
        }
        for each in found:
            each["LastExecutionPipelineExecutionArn"] = last.get(each["PipelineVersionId"])
        return listing("ListPipelineVersions", found, request)

    def update(self, request: Document) -> Document:
        """UpdatePipelineVersion: its display name and description."""
        pipeline = pipeline_of(self.store, request["PipelineArn"])
        version_id = request["PipelineVersionId"]
        members = ("PipelineVersionDisplayName", "PipelineVersionDescription")
        changes = {name: request[name] for name in members if name in request}
        with self.store.transaction():
            version = version_of(self.store, pipeline, version_id)
            version.update(changes, LastModifiedTime=now())
            self.store.put(VERSION, f"{pipeline['PipelineArn']} {version_id}", version)
        return {"PipelineArn": pipeline["PipelineArn"], "PipelineVersionId": version_id}
