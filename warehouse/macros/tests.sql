{# Tests of data, without packages: each selects the rows that should not be. #}

{# A value within the range that the record contract accepts for the column `of`. #}
{% test accepted_range(model, column_name, of) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} < {{ ranges()[of][0] }} or {{ column_name }} > {{ ranges()[of][1] }}
{% endtest %}


{# Every number within the range that the record contract accepts. #}
{% test plausible(model) %}
select * from {{ model }}
where false
{%- for name, range in ranges().items() %}
    or {{ name }} < {{ range[0] }} or {{ name }} > {{ range[1] }}
{%- endfor %}
{% endtest %}


{# No record that the ledger counts as clean is missing, in whichever format; rows may have arrived since it was read. #}
{% test rows_of_ledger(model) %}
{{ config(enabled=var('ledger_rows') is not none) }}
select count(*) as found, {{ var('ledger_rows') }} as expected
from ({{ cleaned() }}) as cleaned
{%- if var('ledger_since') is not none %}
where dt >= '{{ var('ledger_since') }}'
{%- endif %}
having count(*) < {{ var('ledger_rows') }}
{% endtest %}


{# The last version of a beer is the beer. #}
{% test ends_as_beers(model) %}
select beers.id
from {{ ref('beers') }} as beers
left join (
    select *, row_number() over (partition by id order by version desc) as place from {{ model }}
) as changes on changes.id = beers.id and changes.place = 1
where changes.id is null
{%- for column in column_names() %}
    or beers.{{ column }} is distinct from changes.{{ column }}
{%- endfor %}
{% endtest %}
