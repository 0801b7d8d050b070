{{ config(materialized='view', enabled=var('predictions')) }}

select
    scored.id,
    coalesce(beers.name, scored.name) as name,
    scored.predicted,
    scored.low,
    scored.high,
    scored.class,
    beers.ibu as label,
    scored.predicted - beers.ibu as error_ibu,
    beers.ibu between scored.low and scored.high as inside,
    -- The beer was delivered again after it was scored.
    scored.actual is distinct from beers.ibu as label_changed,
    scored.error,
    scored.model_version,
    scored.cut_off,
    scored.scored_at
from {{ source('silver', 'predictions') }} as scored
left join {{ ref('beers') }} as beers on beers.id = scored.id
