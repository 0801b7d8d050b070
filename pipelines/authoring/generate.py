"""Rewrite the files that are derived from other files: `python -m pipelines.authoring.generate [--check]`.

`make generate` runs it; `make check` runs it with --check, which writes nothing and fails where a file is stale. The
sources are the schema (ingestion/record.py), the pipeline's parameters, and the modules that write the pipeline
definition and the state machines. Exit codes: 0 done, 1 stale files with --check, 2 the schema cannot be changed so.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from ingestion import record
from localaws.errors import RUN_FAILED, WRONG_USAGE, ExpectedError, exit_code
from pipelines.authoring import committed, queries, snapshot, tables
from pipelines.authoring.archives import ROOT

# The evaluation takes the columns from the header of its input.
STEPS = ("processing", "training")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DEPLOY.md")
NOTICE = "Generated from ingestion/record.py by `make generate`: do not edit."
GLUE_TYPES = {"integer": "bigint", "text": "string", "number": "double"}
GLUE_COLUMN = re.compile(r"^ +- \{Name: (\w+), Type: \w+, Comment: .*\}\n", re.MULTILINE)
GLUE_COLUMNS = re.compile(r"^( +)Columns:\n(?: +#.*\n)?((?: +- \{Name: .*\}\n)+)", re.MULTILINE)
LOADED_AT = re.compile(r"^( +loaded_at_query: >-\n +).*\n", re.MULTILINE)
NAMED_QUERY = re.compile(
    r"(^  (\w+):\n    Type: AWS::Athena::NamedQuery\n(?: {4,}.*\n)*?      QueryString: !Sub \|\n)((?: {8}.*\n)+)",
    re.MULTILINE,
)
TABLE = re.compile(r"(<!-- generated: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    given = arguments().parse_args(argv)
    check_schema()
    stale = [path for path, content in derived() if not path.exists() or path.read_text(encoding="utf-8") != content]
    if given.check:
        if stale:
            raise ExpectedError(
                "files are older than what they are generated from",
                where=", ".join(str(path.relative_to(ROOT)) for path in stale),
                hint="make generate",
                code=RUN_FAILED,
            )
        return 0
    for path, content in derived():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


def arguments() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.authoring.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    return parser


def derived() -> Iterator[tuple[Path, str]]:
    """(path, content) of every generated file."""
    from pipelines.authoring import definition, workflows

    for step in STEPS:
        yield ROOT / step / "columns.py", columns_module()
    template = ROOT / "cloudformation" / "ingestion.yaml"
    yield template, glue_columns(template.read_text(encoding="utf-8"))
    template = ROOT / "cloudformation" / "warehouse.yaml"
    yield template, named_queries(template.read_text(encoding="utf-8"))
    for name in workflows.WORKFLOWS:
        yield committed.machine_path(name), workflows.definition(name)
    yield ROOT / "warehouse" / "macros" / "cleaned.sql", warehouse_macros()
    sources = ROOT / "warehouse" / "models" / "sources.yml"
    yield sources, warehouse_sources(sources.read_text(encoding="utf-8"))
    yield committed.PIPELINE, definition.template()
    yield committed.IMAGES, definition.images()
    yield committed.SOURCES_DIGEST, committed.sources_digest() + "\n"
    for document in DOCUMENTS:
        if (ROOT / document).exists():
            yield ROOT / document, documentation((ROOT / document).read_text(encoding="utf-8"))


def columns_module() -> str:
    """columns.py of a step folder, which imports no other folder."""
    names = "".join(f'    "{name}",\n' for name in record.NAMES)
    ranges = "".join(
        f'    "{column.name}": ({float(column.low)}, {float(column.high)}),\n'
        for column in record.COLUMNS
        if column.kind == "number"
    )
    longest = next(int(column.high) for column in record.COLUMNS if column.name == "name")
    return (
        f'"""The columns of the cleaned table. {NOTICE}"""\n\n'
        f"COLUMNS = (\n{names})\n"
        "# A CSV row written before a column was added ends earlier, but has at least so many values.\n"
        f"FEWEST_COLUMNS = {record.FEWEST_COLUMNS}\n"
        f"LONGEST_NAME = {longest}\n"
        "# Plausible values of the numeric columns, both ends included.\n"
        f"RANGES = {{\n{ranges}}}\n"
    )


def named_queries(template: str) -> str:
    """The warehouse template with the text of its queries."""

    def query(found: re.Match[str]) -> str:
        return found[1] + textwrap.indent(queries.NAMED[found[2]](), " " * 8) + "\n"

    return NAMED_QUERY.sub(query, template)


def warehouse_sources(text: str) -> str:
    """The dbt project's sources with the time of the newest delivery, for which no macro can stand."""
    schema = "\"{{ env_var('WAREHOUSE_SOURCE') }}\""
    found = " UNION ALL ".join(
        f'SELECT {snapshot.DELIVERED} AS delivered FROM {schema}."{name}"' for name in ("beers", "beers_parquet")
    )
    newest = f"SELECT {snapshot.delivered_at('max(delivered)')} FROM ({found})"
    return LOADED_AT.sub(lambda match: f"{match[1]}{newest}\n", text)


def warehouse_macros() -> str:
    """The macros of the dbt project that read the cleaned table."""
    ranges = {column.name: [column.low, column.high] for column in record.COLUMNS if column.kind == "number"}
    macros = {
        "column_names()": f"{{{{ return({list(record.NAMES)}) }}}}",
        "ranges()": f"{{{{ return({ranges}) }}}}",
        "cleaned()": snapshot.rows("{{ source('silver', 'beers') }}", "{{ source('silver', 'beers_parquet') }}"),
        "style_words()": f"{{{{ return({list(queries.STYLE_WORDS)}) }}}}",
        "by_values()": snapshot.by_values(),
        "delivered_at(stamp)": snapshot.delivered_at("{{ stamp }}"),
    }
    found = (f"{{% macro {name} -%}}\n{text}\n{{%- endmacro %}}\n" for name, text in macros.items())
    return f"{{# {NOTICE} #}}\n\n" + "\n".join(found)


def glue_columns(template: str) -> str:
    """The ingestion template with the columns of the Glue tables, as text for CSV and typed for Parquet."""
    typed = iter((False, True))

    def columns(found: re.Match[str]) -> str:
        indent = found[1] + "  "
        parquet = next(typed)
        lines = (f"{indent}- {{Name: {each.name}, {_glue(each, parquet)}}}\n" for each in record.COLUMNS)
        return f"{found[1]}Columns:\n{indent}# {NOTICE}\n{''.join(lines)}"

    return GLUE_COLUMNS.sub(columns, template)


def _glue(column: record.Column, typed: bool) -> str:
    kind = GLUE_TYPES[column.kind]
    comment = ", ".join(filter(None, (column.description, column.unit))).replace("'", "''")
    return f"Type: {kind}, Comment: '{comment}'" if typed else f"Type: string, Comment: '{kind}: {comment}'"


def documentation(text: str) -> str:
    """A document with its generated tables: what lies between `<!-- generated: NAME -->` and `<!-- end -->`."""
    return TABLE.sub(lambda found: found[1] + tables.TABLES[found[2]]() + found[4], text)


def check_schema() -> None:
    """Refuse a schema that cannot read the rows already written: CSV rows are read by position.

    Raises ExpectedError where a column of the committed template was moved, removed or renamed.
    """
    template = (ROOT / "cloudformation" / "ingestion.yaml").read_text(encoding="utf-8")
    found = GLUE_COLUMNS.search(template)
    before = GLUE_COLUMN.findall(found[2]) if found else []
    if list(record.NAMES[: len(before)]) != before:
        raise ExpectedError(
            f"the columns were {', '.join(before)}; these have to stay, in this order, before any new one",
            where="COLUMNS in ingestion/record.py (rows in S3 are read by position)",
            hint="git diff ingestion/record.py",
            code=WRONG_USAGE,
        )


if __name__ == "__main__":
    sys.exit(exit_code(main))
