"""The page's style sheet: one column, one accent, readable on a phone and on paper."""

CSS = """
:root { --ink: #1a1a1a; --grey: #595959; --line: #d0d0d0; --pale: #f5f5f3; --accent: #0b5394; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 66rem; color: var(--ink);
  background: #fff; font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.4rem; margin: 3rem 0 .75rem; padding-top: .75rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.15rem; line-height: 1.35; margin: 1.75rem 0 .75rem; }
.eyebrow + h3 { margin-top: 0; }
h4 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p, li { max-width: 46rem; }
a { color: var(--accent); }
a:focus-visible, summary:focus-visible, .scroll:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; }
.lead { font-size: 1.1rem; color: var(--grey); }
.eyebrow { margin: 0; font-size: .8rem; letter-spacing: .04em; text-transform: uppercase;
  color: var(--grey); }
.skip { position: absolute; left: -100rem; }
.skip:focus { position: static; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; list-style: none; }
section.claim { margin-top: 2.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.verdict { display: inline-block; padding: .05rem .5rem; border: 1.5px solid currentColor;
  border-radius: .25rem; font-weight: 600; white-space: nowrap; }
.toward { color: var(--accent); }
.against { color: var(--ink); background: #e6e6e6; }
.open { color: var(--grey); border-style: dashed; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: .75rem 0; }
.facts dt { color: var(--grey); }
.facts dd { margin: 0; max-width: 40rem; overflow-wrap: anywhere; }
ul.references { list-style: none; padding: 0; }
ul.references li { padding-left: 1.5rem; text-indent: -1.5rem; margin-bottom: .45rem;
  overflow-wrap: anywhere; }
.facts ul { margin: 0; padding-left: 1.1rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; width: 100%; }
caption { text-align: left; color: var(--grey); padding-bottom: .35rem; caption-side: top; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); font-weight: 400; }
thead th { font-weight: 600; border-bottom: 1.5px solid var(--ink); }
td { overflow-wrap: break-word; }
.narrow { width: auto; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; white-space: nowrap; }
.numbers thead th { white-space: normal; vertical-align: bottom; }
.numbers tbody tr:last-child > * { font-weight: 600; border-bottom: 0; }
.wide td { min-width: 5rem; }
.wide td:nth-child(8) { min-width: 14rem; }
.flags { padding-left: 1.1rem; font-size: .9rem; }
.flags li { margin-bottom: .6rem; overflow-wrap: anywhere; }
.trace td { min-width: 5.5rem; }
.trace td:nth-child(n+6) { min-width: 9rem; overflow-wrap: anywhere; }
.trace td:nth-child(4), .trace td:nth-child(5) { min-width: 0; }
figure { margin: 1rem 0; }
figure .scroll { margin: 0; }
svg.plot { display: block; max-width: none; height: auto; }
figcaption { font-size: .875rem; color: var(--grey); max-width: 46rem; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--accent); }
code { font-size: .85em; overflow-wrap: anywhere; }
@media (min-width: 48rem) { svg.plot { max-width: 100%; } }
@media (max-width: 40rem) {
  .facts { display: block; }
  .facts dt { margin-top: .5rem; }
  .facts dd { margin: 0; }
  table, tbody, caption { display: block; }
  thead { position: absolute; left: -100rem; }
  tr { display: block; padding: .6rem 0; border-bottom: 1px solid var(--line); }
  tbody th, td { display: block; padding: .1rem 0; border: 0; overflow-wrap: anywhere; }
  tbody th { font-weight: 600; }
  /* Short numbers stay a table, which scrolls sideways on its own. */
  .numbers { display: table; }
  .numbers tbody { display: table-row-group; }
  .numbers caption { display: table-caption; max-width: calc(100vw - 3.5rem); }
  .numbers thead { display: table-header-group; position: static; }
  .numbers tr { display: table-row; }
  .numbers tbody th, .numbers td { display: table-cell; padding: .3rem .75rem .3rem 0;
    border-bottom: 1px solid var(--line); overflow-wrap: normal; }
  .numbers td[data-label]:not(:empty)::before { content: none; }
  td[data-label]:not(:empty)::before { content: attr(data-label) ": "; color: var(--grey); }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .skip { display: none; }
  a { color: inherit; text-decoration: none; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  h2, h3, h4, caption { break-after: avoid; }
  tr, figure { break-inside: avoid; }
  svg.plot { max-width: 100%; }
  details::details-content { content-visibility: visible; }
}
"""
