{{ config(materialized='table') }}

{# The order of deliveries is the one in which a snapshot chooses. #}
select
    {{ column_names() | join(', ') }},
    {{ delivered_at('delivered') }} as delivered_at,
    deliveries
from (
    select
        *,
        row_number() over (partition by id order by delivered desc, {{ by_values() }}) as place,
        count(*) over (partition by id) as deliveries
    from ({{ cleaned() }}) as cleaned
) as numbered
where place = 1
