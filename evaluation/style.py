"""The report's style sheet: light or dark by the reader's theme, one column on narrow screens."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1b19; --soft: #635f58; --page: #faf8f4; --card: #fff; --line: #e2ddd3;
  --beer: #b8650a; --cool: #2b6a8f; --good: #1e6b3a; --good-page: #e4f3e8; --bad: #9c2b1f; --bad-page: #fbe7e4;
  --warn: #8a5a00; --warn-page: #fdf1d6; }
@media (prefers-color-scheme: dark) { :root { --ink: #ece8e0; --soft: #a8a296; --page: #161513; --card: #201e1b;
  --line: #3a3732; --beer: #f0a33a; --cool: #7bbbe0; --good: #8fd6a5; --good-page: #16301f; --bad: #f3a79c;
  --bad-page: #3a1b17; --warn: #f0c15f; --warn-page: #38290b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.12rem; margin: 0 0 10px; }
h3 { font-size: .95rem; margin: 0 0 2px; font-weight: 600; }
.small { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 8px 20px; }
p { margin: 0 0 10px; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.verdict { border-left: 6px solid; border-radius: 8px; padding: 14px 18px; margin: 18px 0; font-size: 1.05rem; }
.verdict p { margin: 0; }
.verdict strong { display: block; font-size: 1.25rem; }
.passed { color: var(--good); background: var(--good-page); }
.failed { color: var(--bad); background: var(--bad-page); }
.loosened { color: var(--warn); background: var(--warn-page); border-left-style: double; }
.verdict p { color: var(--ink); }
.origin { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: .9rem; margin: 0 0 6px; }
.origin b { color: var(--soft); font-weight: 400; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; min-width: 0; }
.card.wide { grid-column: 1 / -1; }
figure { margin: 0; }
.scroll { overflow-x: auto; }
.scroll + p { margin-top: 10px; }
.scroll > table { min-width: 470px; }
.scroll > svg { min-width: 310px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; }
td small { color: var(--soft); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0; font-size: .93rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 520px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; }
  .scroll > table { min-width: 0; font-size: .78rem; } th, td { padding: 5px 3px; } td small { display: block; } }
svg { width: 100%; height: auto; display: block; }
svg text { font: 13px system-ui, sans-serif; fill: var(--soft); }
svg text.axis, svg text.note { fill: var(--ink); }
svg text.mark { fill: var(--cool); }
svg text.name { font-size: 12px; fill: var(--ink); stroke: var(--card); stroke-width: 3px; paint-order: stroke; }
.grid line.grid, line.grid { stroke: var(--line); }
line.diagonal { stroke: var(--soft); stroke-dasharray: 5 4; }
line.interval { stroke: var(--beer); opacity: .22; }
line.whisker { stroke: var(--ink); stroke-width: 2; }
line.mark { stroke: var(--cool); stroke-width: 3; }
.point { fill: var(--beer); fill-opacity: .75; stroke: var(--card); }
rect.bar { fill: var(--beer); fill-opacity: .8; }
"""
