{{ config(materialized='table') }}

with deliveries as (

    select
        {{ column_names() | join(', ') }},
        {{ delivered_at('delivered') }} as delivered_at,
        row_number() over (partition by id order by delivered desc, {{ by_values() }}) as place
    from ({{ cleaned() }}) as cleaned

),

compared as (

    select
        *,
        row_number() over (partition by id order by place desc) as number,
        concat_ws(
            ', '
            {%- for column in column_names() if column != 'id' %},
            if({{ column }} is distinct from lag({{ column }}) over (partition by id order by place desc), '{{ column }}')
            {%- endfor %}
        ) as different
    from deliveries

)

select
    {{ column_names() | join(', ') }},
    if(number = 1, 'new', different) as change,
    delivered_at,
    row_number() over (partition by id order by place desc) as version
from compared
where number = 1 or different <> ''
