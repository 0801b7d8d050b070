"""Athena's SQL on this machine: its own dialect and statements, workgroups, and Step Functions' `.sync`.

MiniStack hands a query to DuckDB as it stands. Here sqlglot reads it in Athena's dialect and writes DuckDB's, the
Glue tables become views with the hidden column `$path`, and what a statement writes goes to S3 and Glue as in Athena.
"""

import asyncio
import contextvars
import functools
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from localaws.athena import glue_api, statements
from localaws.athena.create_table_as import Destination
from localaws.ministack import patches

# The query that this task runs, as MiniStack stores it.
EXECUTION: contextvars.ContextVar[dict[str, Any]] = contextvars.ContextVar("EXECUTION")
# Seconds between polls of a query: hundreds of executions that poll often leave the endpoint no time for others.
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0


class Athena:
    """Replaces how MiniStack runs queries and adds the optimised integrations of Step Functions."""

    def __init__(self) -> None:
        self._athena: Any = patches.module("services.athena")
        self._tokens: dict[str, tuple[str, str]] = {}
        self._start_query = self._athena._start_query_execution
        self._save_results = self._athena._save_query_results
        self._execute_query = self._athena._execute_query
        self._query_results = self._athena._get_query_results
        # More queries at once than processors would only hold up other requests.
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="athena")

    def install(self) -> None:
        """Replace MiniStack's names."""
        self._athena._run_duckdb = self._run
        self._athena._start_query_execution = self._start
        self._athena._save_query_results = self._save
        self._athena._execute_query = self._execute
        self._athena._get_query_results = self._results
        glue_api.install()
        handlers = patches.module("services.cloudformation.provisioners")._RESOURCE_HANDLERS
        handlers["AWS::Athena::NamedQuery"] = {"create": self._create_named_query, "delete": self._delete_named_query}
        dispatch = patches.module("services.stepfunctions")._SERVICE_DISPATCH
        for action in ("startQueryExecution", "getQueryExecution", "getQueryResults", "stopQueryExecution"):
            dispatch[f"arn:aws:states:::athena:{action}"] = self._integration

    def start(self) -> None:
        """Nothing runs in the background."""

    def close(self) -> None:
        """Nothing is held."""

    def _start(self, request: dict[str, Any]) -> Any:
        """StartQueryExecution; the same ClientRequestToken is the same query, with other text an error."""
        from ministack.core.responses import error_response_json, json_response

        name = request.get("WorkGroup", "primary")
        workgroup = self._athena._workgroups.get(name)
        if workgroup is None or workgroup["State"] != "ENABLED":
            reason = "not found" if workgroup is None else "disabled"
            return error_response_json("InvalidRequestException", f"WorkGroup {name} is {reason}.", 400)
        if enforces(workgroup):
            request = {each: value for each, value in request.items() if each != "ResultConfiguration"}
        token = request.get("ClientRequestToken")
        text = request.get("QueryString", "")
        if token in self._tokens and self._tokens[token][1] in self._athena._executions:
            earlier_text, identifier = self._tokens[token]
            if earlier_text != text:
                message = "Idempotent parameters do not match"
                return error_response_json("InvalidRequestException", message, 400)
            return json_response({"QueryExecutionId": identifier})
        answer = self._start_query(request)
        if token and answer[0] == 200:
            self._tokens[token] = (text, json.loads(answer[2])["QueryExecutionId"])
        return answer

    async def _execute(self, query_id: str, query: str, database: str, ddl: Any, catalog: str | None = None) -> None:
        """Give each statement to `_run`; MiniStack runs some definitions itself."""
        EXECUTION.set(self._athena._executions.get(query_id))
        await self._execute_query(query_id, query, database, None, catalog)

    async def _run(self, query: str, database: str, catalog: str | None = None) -> dict[str, Any]:
        execution = EXECUTION.get()
        destination = Destination(
            execution["QueryExecutionId"],
            execution["ResultConfiguration"]["OutputLocation"].rpartition("/")[0],
            enforces(self._athena._workgroups[execution["WorkGroup"]]),
        )
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        run = functools.partial(context.run, statements.run, query, database, destination)
        result = await loop.run_in_executor(self._threads, run)
        execution["_written"] = result.written
        return {"columns": list(result.columns), "column_types": list(result.types), "rows": result.rows}

    def _results(self, request: dict[str, Any]) -> Any:
        """GetQueryResults; UpdateCount is the number of rows that were written."""
        status, headers, body = self._query_results(request)
        if status >= 300:
            return status, headers, body
        written = self._athena._executions[request["QueryExecutionId"]].get("_written", 0)
        return status, headers, json.dumps({**json.loads(body), "UpdateCount": written}).encode()

    async def _save(self, query_id: str) -> None:
        """Results go to the object that OutputLocation names; MiniStack takes it for a folder."""
        configuration = self._athena._executions.get(query_id)["ResultConfiguration"]
        address = configuration["OutputLocation"]
        configuration["OutputLocation"] = address.rpartition("/")[0] + "/"
        try:
            await self._save_results(query_id)
        finally:
            configuration["OutputLocation"] = address

    def _create_named_query(
        self, logical_id: str, properties: dict[str, Any], stack: str
    ) -> tuple[str, dict[str, str]]:
        """AWS::Athena::NamedQuery, which MiniStack's CloudFormation lacks; each of its changes replaces it."""
        answer = self._athena._create_named_query({"Name": f"{stack}-{logical_id}", **properties})
        identifier = json.loads(answer[2])["NamedQueryId"]
        return identifier, {"NamedQueryId": identifier}

    def _delete_named_query(self, identifier: str, properties: dict[str, Any]) -> None:
        self._athena._delete_named_query({"NamedQueryId": identifier})

    def _integration(self, resource: str, request: dict[str, Any]) -> Any:
        """arn:aws:states:::athena:<action>[.sync]; .sync waits for the query's end and fails with it."""
        stepfunctions = patches.module("services.stepfunctions")
        action = resource.rpartition(":")[2]
        info = stepfunctions._AWS_SDK_SERVICE_MAP["athena"]

        def call(name: str, arguments: dict[str, Any]) -> Any:
            return stepfunctions._dispatch_aws_sdk_json(info, "athena", name, arguments)

        answer = call(action.removesuffix(".sync"), request)
        if not action.endswith(".sync"):
            return answer
        identifier, pause = answer["QueryExecutionId"], FIRST_PAUSE
        while self._athena._executions.get(identifier)["Status"]["State"] in ("QUEUED", "RUNNING"):
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        described = call("getQueryExecution", {"QueryExecutionId": identifier})
        status = described["QueryExecution"]["Status"]
        if status["State"] != "SUCCEEDED":
            raise stepfunctions._ExecutionError("States.TaskFailed", status.get("StateChangeReason", ""))
        return described


def enforces(workgroup: dict[str, Any]) -> bool:
    """Whether a workgroup's settings override those of a query; of all but `primary` they do by default.

    https://docs.aws.amazon.com/athena/latest/ug/workgroups-settings-override.html
    """
    found = (workgroup.get("Configuration") or {}).get("EnforceWorkGroupConfiguration")
    return workgroup["Name"] != "primary" if found is None else str(found).lower() == "true"
