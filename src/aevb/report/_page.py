"""The frame of a page: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from ._html import Section, escape_html

PAGE_CSS = """
:root {
  color-scheme: light dark;
  --ink: #1d2126; --soft: #5b636c; --paper: #f5f6f7; --card: #ffffff; --line: #dfe3e6;
  --mark: #1f6fbd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ea; --soft: #a3abb3; --paper: #14171a; --card: #1d2125; --line: #343a40;
    --mark: #6db1f2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
main, header, footer { max-width: 1000px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 0 0 .6rem; }
h3 { font-size: 1.05rem; margin: .9rem 0 .4rem; }
.subtitle { color: var(--soft); margin: 0 0 .3rem; font-size: .95rem; }
.headline { font-size: 1.15rem; margin: 0 0 1.2rem; max-width: 46em; }
nav { font-size: .92rem; margin-bottom: 1.2rem; line-height: 1.9; }
nav a { color: var(--mark); text-decoration: none; margin-right: 1.1em; white-space: nowrap; }
nav a:hover, nav a:focus { text-decoration: underline; }
section, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 20px 22px; margin: 0 0 18px; }
p { max-width: 46em; margin: 0 0 .8rem; }
ul { margin: 0 0 .8rem; padding-left: 1.2em; max-width: 46em; }
li, td, th, figcaption { overflow-wrap: break-word; }
li.warning { font-weight: 600; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(172px, 1fr)); gap: 12px;
  margin: 0 0 18px;
}
.card { padding: 12px 14px; }
.card b {
  display: block; font-size: 1.12rem; font-variant-numeric: tabular-nums; line-height: 1.3;
}
.card span { color: var(--soft); font-size: .86rem; display: block; line-height: 1.35; }
.scroll { overflow-x: auto; margin-bottom: .8rem; }
table { border-collapse: collapse; font-size: .93rem; width: 100%; }
th, td {
  text-align: left; vertical-align: top; padding: 7px 14px 7px 0;
  border-bottom: 1px solid var(--line);
}
th { font-weight: 600; }
thead th { color: var(--soft); font-weight: 500; }
.numbers td:nth-child(2) { white-space: nowrap; font-variant-numeric: tabular-nums; }
.numbers th[scope=row] { min-width: 11em; }
.listing td { font-variant-numeric: tabular-nums; }
.listing th[scope=row] { min-width: 7em; overflow-wrap: anywhere; }
.pairs { margin-bottom: .9rem; }
.pairs th { width: 14em; color: var(--soft); font-weight: 500; }
.pairs td { overflow-wrap: anywhere; }
.cells td, .cells th {
  white-space: nowrap; font-variant-numeric: tabular-nums; text-align: right;
}
figure { margin: 0 0 .8rem; }
figure img { display: block; width: 100%; max-width: 620px; height: auto; }
figure.pixels img { max-width: 880px; }
figcaption { color: var(--soft); font-size: .92rem; margin-top: .5rem; max-width: 50em; }
.grid {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 18px;
}
@media (min-width: 900px) {
  figure.chart {
    display: grid; grid-template-columns: minmax(0, 590px) minmax(0, 1fr); gap: 24px;
    align-items: start;
  }
  figure.chart figcaption { margin-top: 1rem; }
}
code, pre { font: .88em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre {
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px;
  overflow-x: auto;
}
footer { color: var(--soft); font-size: .87rem; padding-bottom: 30px; }
@media (max-width: 620px) {
  main, header, footer { padding-left: 12px; padding-right: 12px; }
  section { padding: 15px 14px; }
  .numbers thead { display: none; }
  .numbers tr { display: block; border-bottom: 1px solid var(--line); padding: 8px 0; }
  .numbers th, .numbers td { display: block; border: 0; padding: 1px 0; }
  .numbers td:nth-child(2) { font-size: 1.1rem; white-space: normal; }
  .listing thead { display: none; }
  .listing tr { display: block; border-bottom: 1px solid var(--line); padding: 7px 0; }
  .listing th, .listing td { display: block; border: 0; padding: 1px 0; }
  .listing td::before { content: attr(data-label) ": "; color: var(--soft); }
  .listing td:empty { display: none; }
  .pairs th { width: 8em; }
  nav { line-height: 2.2; }
}
@media print { body { background: none; } nav { display: none; } section { break-inside: avoid; } }
"""

PAGE_TEMPLATE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<p class="subtitle">$subtitle</p>
<h1>$title</h1>
<p class="headline">$headline</p>
<nav aria-label="Sections">$links</nav>
</header>
<main>
$cards
$sections
</main>
<footer><p>$footer</p></footer>
</body>
</html>
""")


def render_page(
    title: str,
    subtitle: str,
    headline: str,
    cards: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    footer: str,
) -> str:
    """The whole page; ``cards`` are the numbers at the top, as value and label."""
    card_html = "".join(
        f'<div class="card"><b>{escape_html(value)}</b><span>{escape_html(name)}</span></div>'
        for value, name in cards
    )
    return PAGE_TEMPLATE.substitute(
        title=escape_html(title),
        subtitle=escape_html(subtitle),
        style=PAGE_CSS,
        headline=escape_html(headline.replace("± ", "±\u00a0")),
        links="\n".join(
            f'<a href="#{escape_html(section.anchor)}">{escape_html(section.title)}</a>'
            for section in sections
        ),
        cards=f'<div class="cards">{card_html}</div>' if cards else "",
        sections="\n".join(map(str, sections)),
        footer=escape_html(footer),
    )
