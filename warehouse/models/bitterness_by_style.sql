{{ config(materialized='view') }}

{# A beer belongs to each style whose word is in its name, as in the evaluation's report. #}
select
    style,
    count(*) as beers,
    count(ibu) as labelled,
    avg(ibu) as mean_ibu,
    stddev(ibu) as deviation_ibu,
    min(ibu) as lowest_ibu,
    max(ibu) as highest_ibu,
    avg(abv) as mean_abv
from {{ ref('beers') }}
cross join unnest(array['{{ style_words() | join("', '") }}']) as styles(style)
where strpos(lower(name), style) > 0
group by style
