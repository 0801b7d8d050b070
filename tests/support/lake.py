"""A database and a bucket of a test's own, queried through Athena's API."""

import itertools
import time
from typing import Any

from pipelines.account.clients import Clients

_numbers = itertools.count(1)


class Lake:
    """A database and a bucket of a test's own."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.name = f"lake{next(_numbers)}"
        clients.s3.create_bucket(Bucket=f"{self.name}-bucket")
        clients.glue.create_database(DatabaseInput={"Name": self.name})

    def put(self, key: str, content: str) -> None:
        self.clients.s3.put_object(Bucket=f"{self.name}-bucket", Key=key, Body=content.encode())

    def table(self, columns: dict[str, str], **parameters: str) -> None:
        """The CSV table `t` over `rows/`, partitioned by `dt`."""
        serde = {"SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde"}
        storage = {
            "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
            "Location": f"s3://{self.name}-bucket/rows/",
            "SerdeInfo": serde,
        }
        keys = [{"Name": "dt", "Type": "string"}]
        table = {"Name": "t", "StorageDescriptor": storage, "PartitionKeys": keys, "Parameters": parameters}
        self.clients.glue.create_table(DatabaseName=self.name, TableInput=table)

    def uri(self, key: str) -> str:
        """The address of a key of its bucket."""
        return f"s3://{self.name}-bucket/{key}"

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with the prefix."""
        found = self.clients.s3.list_objects_v2(Bucket=f"{self.name}-bucket", Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", [])]

    def run(self, text: str, workgroup: str = "primary", **context: str) -> dict[str, Any]:
        """QueryExecution of a query at its end. context: Database= its own by default."""
        athena = self.clients.athena
        query = athena.start_query_execution(
            QueryString=text,
            QueryExecutionContext=context or {"Database": self.name},
            ResultConfiguration={"OutputLocation": self.uri("results/")},
            WorkGroup=workgroup,
        )["QueryExecutionId"]
        while True:
            found: dict[str, Any] = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]
            if found["Status"]["State"] in ("SUCCEEDED", "FAILED"):
                return found
            time.sleep(0.02)

    def query(self, text: str, **context: str) -> tuple[str, Any]:
        """(state, rows or reason, the columns' types first) of a query. context: Database= its own by default."""
        execution = self.run(text, **context)
        if execution["Status"]["State"] == "FAILED":
            return "FAILED", execution["Status"]["StateChangeReason"]
        found = self.clients.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]
        types = [each["Type"] for each in found["ResultSetMetadata"]["ColumnInfo"]]
        rows = [[each.get("VarCharValue") for each in row["Data"]] for row in found["Rows"]]
        return "SUCCEEDED", [types, *rows[execution["StatementType"] == "DML" :]]

    def rows(self, text: str) -> Any:
        """The rows of a query, as text; the reason of one that fails."""
        state, found = self.query(text.replace("{bucket}", self.uri("")).replace("{db}", self.name))
        return found[1:] if state == "SUCCEEDED" else found.replace(self.name, "{db}")
