{# Generated from ingestion/record.py by `make generate`: do not edit. #}

{% macro column_names() -%}
{{ return(['id', 'name', 'abv', 'ibu', 'target_fg', 'target_og', 'ebc', 'srm', 'ph']) }}
{%- endmacro %}

{% macro ranges() -%}
{{ return({'abv': [0, 80], 'ibu': [0, 1000], 'target_fg': [900, 1250], 'target_og': [900, 1250], 'ebc': [0, 1000], 'srm': [0, 510], 'ph': [2, 8]}) }}
{%- endmacro %}

{% macro cleaned() -%}
SELECT TRY_CAST(NULLIF(CAST(id AS varchar), '') AS bigint) AS id, name, TRY_CAST(NULLIF(CAST(abv AS varchar), '') AS double) AS abv, TRY_CAST(NULLIF(CAST(ibu AS varchar), '') AS double) AS ibu, TRY_CAST(NULLIF(CAST(target_fg AS varchar), '') AS double) AS target_fg, TRY_CAST(NULLIF(CAST(target_og AS varchar), '') AS double) AS target_og, TRY_CAST(NULLIF(CAST(ebc AS varchar), '') AS double) AS ebc, TRY_CAST(NULLIF(CAST(srm AS varchar), '') AS double) AS srm, TRY_CAST(NULLIF(CAST(ph AS varchar), '') AS double) AS ph, coalesce(regexp_extract("$path", '20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]'), '') AS delivered, dt FROM {{ source('silver', 'beers') }}
UNION ALL
SELECT id, name, abv, ibu, target_fg, target_og, ebc, srm, ph, coalesce(regexp_extract("$path", '20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]'), '') AS delivered, dt FROM {{ source('silver', 'beers_parquet') }}
{%- endmacro %}

{% macro style_words() -%}
{{ return(['ipa', 'pale', 'lager', 'pils', 'stout', 'porter', 'saison', 'weiss', 'amber', 'red', 'brown', 'imperial']) }}
{%- endmacro %}

{% macro by_values() -%}
name NULLS LAST, abv NULLS LAST, ibu NULLS LAST, target_fg NULLS LAST, target_og NULLS LAST, ebc NULLS LAST, srm NULLS LAST, ph NULLS LAST
{%- endmacro %}

{% macro delivered_at(stamp) -%}
date_parse(nullif({{ stamp }}, ''), '%Y-%m-%d-%H-%i-%s')
{%- endmacro %}
