// Pools: what they cost, what comes next, what was refused, what keeps nodes from going.
import {html} from './lib.js';
import * as format from './format.js';
import {poolOf} from './pool.js';
import {address, choose} from './route.js';

export function Pools({data, filter}) {
  const words = filter.toLowerCase();
  const rows = data.rows('pools').filter((row) => JSON.stringify(row).toLowerCase().includes(words));
  if (!rows.length) {
    return html`<h2>Pools</h2><p class="note">${data.tables.lacks?.has('Pool') ? data.tables.lacks.get('Pool')[1] : 'There are no Pools. A Pool buys nodes and gives them back.'}</p>`;
  }
  return html`<h2>Pools</h2>${rows.map((row) => html`<${Pool} data=${data} row=${row} />`)}`;
}

function Pool({data, row}) {
  const value = (name) => row[data.at('pools', name)];
  const dollars = (text) => text == null ? '–' : `$${text}/h`;
  const name = value('name');
  const of = poolOf(data);
  const nodes = data.rows('nodes').filter((one) => of(one) === name).length;
  const gap = value('bound') > 0 ? 100 * (value('cost') - value('bound')) / value('bound') : null;
  const claims = Object.entries(value('claims') ?? {}).filter(([, count]) => count > 0);
  const moves = value('moves') ?? {};
  return html`<section class="card" aria-label=${`Pool ${name}`}>
    <h3><button class="plain link" onClick=${() => choose({object: `Pool//${name}`})}>${name}</button>
      <span class="dim"> ${value('mode')}, ${value('status') || 'not served'}</span>
      <a class="right" href=${address('bins', {pool: name})}>its ${nodes} nodes</a></h3>
    ${!value('status') && html`<p class="note">The operator has not said anything of it: it may be stopped, or serve no Pools (settings.pools).</p>`}
    ${value('message') && html`<p>${value('message')}</p>`}
    <dl class="facts">
      <dt>cost</dt><dd>${dollars(value('cost'))}</dd><dt>bound</dt><dd>${dollars(value('bound'))}</dd>
      <dt>gap</dt><dd>${gap == null ? '–' : `${format.number(gap, 1)} %`}</dd>
      <dt>waiting pods</dt><dd>${value('waiting')}</dd>
      <dt>claims</dt><dd>${claims.map(([state, count]) => `${count} ${state}`).join(', ') || 'none'}</dd>
      ${moves.lastHour != null && html`<dt>moved pods</dt><dd>${moves.lastHour} in the last hour, ${moves.lastDay} in a day</dd>`}
    </dl>
    ${value('next').length > 0 && html`<h4>Next</h4><ul>${value('next').map((one) => html`<li>${one}</li>`)}</ul>`}
    ${value('blocked').length > 0 && html`<h4>Stays, because of a pod</h4><ul>${value('blocked').map((one) => html`
      <li>${one.node}: ${one.pod} ${one.reason} <span class="dim">$${one.dollarsPerHour}/h</span></li>`)}</ul>`}
    ${value('unavailable').length > 0 && html`<h4>Refused by the cloud</h4><ul>${value('unavailable').map((one) => html`
      <li>${one.type} ${one.capacityType} in ${one.zone}, asked for again after ${one.until}</li>`)}</ul>`}
  </section>`;
}
