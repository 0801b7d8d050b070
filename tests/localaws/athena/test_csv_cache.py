"""A query sees the objects of a CSV table as they are, though each is parsed once."""

import gzip
from typing import Any

from benchmarks.support.definitions import Project, until
from pipelines.account.clients import Clients

SERDE = "org.apache.hadoop.hive.serde2.OpenCSVSerde"


def table(project: Project) -> None:
    storage = {
        "Columns": [{"Name": "id", "Type": "bigint"}, {"Name": "name", "Type": "string"}],
        "Location": project.uri("t/"),
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "SerdeInfo": {"SerializationLibrary": SERDE},
    }
    partitions = [{"Name": "dt", "Type": "string"}]
    project.clients.glue.create_database(DatabaseInput={"Name": project.name})
    projection = {"enabled": "true", "dt.type": "date", "dt.format": "yyyy-MM-dd", "dt.range": "2026-01-01,NOW"}
    parameters = {f"projection.{name}": value for name, value in projection.items()}
    described = {
        "Name": "beers",
        "StorageDescriptor": storage,
        "PartitionKeys": partitions,
        "Parameters": parameters,
    }
    project.clients.glue.create_table(DatabaseName=project.name, TableInput=described)


def query(project: Project, text: str) -> list[tuple[Any, ...]]:
    athena = project.clients.athena
    started = athena.start_query_execution(
        QueryString=text,
        QueryExecutionContext={"Database": project.name},
        ResultConfiguration={"OutputLocation": project.uri("results/")},
    )["QueryExecutionId"]

    def status() -> Any:
        found = athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"]
        return found if found["State"] in ("SUCCEEDED", "FAILED") else None

    assert until(status, "the query")["State"] == "SUCCEEDED"
    rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"][1:]
    return [tuple(each.get("VarCharValue") for each in row["Data"]) for row in rows]


def test_a_query_sees_added_changed_and_deleted_objects(clients: Clients) -> None:
    project = Project(clients)
    table(project)
    beers = 'SELECT id, name, dt, "$path" FROM beers ORDER BY id'
    assert query(project, beers) == []
    one, two = "t/dt=2026-11-20/one.csv", "t/dt=2026-11-21/it's two.csv.gz"
    project.put(one, '1,"Ale, old"\n')
    project.put("t/_hidden", "9,hidden\n")
    first = ("1", "Ale, old", "2026-11-20", project.uri(one))
    assert query(project, beers) == [first]
    project.put(two, gzip.compress(b"2,Stout\n"))
    second = ("2", "Stout", "2026-11-21", project.uri(two))
    assert query(project, beers) == [first, second]
    project.put(one, "3,Lager\n")
    third = ("3", "Lager", "2026-11-20", project.uri(one))
    assert query(project, beers) == [second, third]
    clients.s3.delete_object(Bucket=project.name, Key=two)
    assert query(project, beers) == [third]
    clients.s3.delete_object(Bucket=project.name, Key=one)
    assert query(project, beers) == []
