// What the nodes cost, what they could not cost less than, and where the money is wasted.
import {html, useEffect, useRef, useState} from './lib.js';
import uPlot from './vendor/uplot.js';
import * as colours from './colours.js';
import * as format from './format.js';
import {poolOf} from './pool.js';
import {choose} from './route.js';
import {Table} from './table.js';

const LEAVING = new Set(['Closing', 'Draining', 'Retiring', 'Leaving', 'Deleting']);

// Sums in microdollars an hour. What a Pool's status says of its nodes is taken from there.
export function sums(data) {
  const node = (row, name) => row[data.at('nodes', name)];
  const pool = (row, name) => row[data.at('pools', name)];
  const cost = (row, name) => row[data.at('costs', name)];
  const told = new Map(data.rows('pools').filter((row) => pool(row, 'cost') != null).map((row) => [pool(row, 'name'), Number(pool(row, 'cost')) * 1e6]));
  const of = poolOf(data);
  const inPools = [...told.values()].reduce((all, one) => all + one, 0);
  let total = inPools, leaving = 0, unpriced = 0;
  for (const row of data.rows('nodes')) {
    const price = node(row, 'price');
    if (price == null) unpriced += 1;
    if (!told.has(of(row))) total += price ?? 0;
    if (LEAVING.has(node(row, 'state'))) leaving += price ?? 0;
  }
  const paid = data.rows('costs');
  const sum = (rows) => rows.reduce((all, row) => all + cost(row, 'cost'), 0);
  const agents = sum(paid.filter((row) => /^(DaemonSet|Node) /.test(cost(row, 'workload'))));
  const used = sum(paid) - agents;
  const stranded = data.rows('waste').reduce((all, row) => all + row[data.at('waste', 'cost')], 0);
  const bounds = data.rows('pools').map((row) => pool(row, 'bound'));
  const bound = bounds.length && bounds.every((one) => one != null) ? bounds.reduce((all, one) => all + Number(one) * 1e6, 0) : null;
  return {total, leaving, unpriced, used, agents, stranded, bound, inPools, free: Math.max(0, total - used - agents - stranded)};
}

export function Money({data, filter, query}) {
  const found = sums(data);
  const gap = found.bound ? 100 * (found.inPools - found.bound) / found.bound : null;
  const cost = (row, name) => row[data.at('costs', name)];
  const by = query.by === 'namespace' ? 'namespace' : 'workload';
  const rows = by === 'workload' ? data.rows('costs') : byNamespace(data);
  return html`
    <div class="tiles">
      <${Tile} title="Nodes cost" value=${`${format.dollars(found.total)}/h`} more=${`${format.dollars(found.total * format.HOURS_A_MONTH, 0)} a month`} />
      <${Tile} title="The bound of the Pools" value=${found.bound == null ? '–' : `${format.dollars(found.bound)}/h`}
        more=${found.bound == null ? 'No Pool tells it. Try: bayplan plan' : 'no nodes hold these pods for less'} />
      <${Tile} title="Gap" value=${gap == null ? '–' : `${format.number(gap, 1)} %`} more="what the Pools cost over the bound" />
      <${Tile} title="Stranded" value=${`${format.dollars(found.stranded)}/h`} more="free, and no pod like these fits there" />
      <${Tile} title="On the way out" value=${`${format.dollars(found.leaving)}/h`} more="nodes that are closing or being emptied" />
    </div>
    ${found.unpriced > 0 && html`<p class="warning">${found.unpriced} nodes have no known price: label them eks-node-viewer/instance-price.</p>`}
    <h2>Where it goes</h2>
    <${Split} total=${found.total} parts=${[
      ['pods ask for it', found.used, '#0072b2'], ['DaemonSets', found.agents, colours.GREY],
      ['stranded', found.stranded, '#d55e00'], ['free', found.free, '#56b4e9'],
    ]} />
    <h2>The last hours</h2>
    <${Course} data=${data} />
    <h2>Who pays</h2>
    <p class="tools"><button aria-pressed=${by === 'workload'} onClick=${() => choose({by: ''})}>by workload</button>
      <button aria-pressed=${by === 'namespace'} onClick=${() => choose({by: 'namespace'})}>by namespace</button></p>
    <${Table} name="Who pays" sort=${by === 'workload' ? 3 : 2} down rows=${rows} filter=${filter} key=${by}
      empty="Nothing runs." columns=${[
        {title: 'Namespace', value: (row) => cost(row, 'namespace')},
        ...(by === 'workload' ? [{title: 'Workload', value: (row) => cost(row, 'workload')}] : []),
        {title: 'Pods', right: true, value: (row) => cost(row, 'pods')},
        {title: '$/h', right: true, value: (row) => cost(row, 'cost'), show: (row) => format.dollars(cost(row, 'cost'), 4)},
        {title: '$/month', right: true, value: (row) => cost(row, 'cost'), show: (row) => format.dollars(cost(row, 'cost') * format.HOURS_A_MONTH)},
        {title: 'Share', right: true, value: (row) => cost(row, 'cost'), show: (row) => format.percent(cost(row, 'cost'), found.total, 1)},
      ]} />`;
}

function byNamespace(data) {
  const found = new Map();
  for (const row of data.rows('costs')) {
    const [namespace, , pods, cost, unpriced] = row;
    const one = found.get(namespace) ?? [namespace, '', 0, 0, 0];
    found.set(namespace, [namespace, '', one[2] + pods, one[3] + cost, one[4] + unpriced]);
  }
  return [...found.values()];
}

export const Tile = ({title, value, more}) => html`
  <div class="tile"><div class="dim">${title}</div><div class="big">${value}</div><div class="dim">${more}</div></div>`;

function Split({total, parts}) {
  if (!total) return html`<p class="note">No node has a price.</p>`;
  return html`
    <div class="split" role="img" aria-label=${parts.map(([word, amount]) => `${word} ${format.percent(amount, total)}`).join(', ')}>
      ${parts.map(([word, amount, colour]) => html`<span title=${word} style=${{width: `${100 * amount / total}%`, background: colour}}></span>`)}
    </div>
    <ul class="legend">${parts.map(([word, amount, colour]) => html`
      <li><i style=${{background: colour}}></i>${word} ${format.dollars(amount)}/h <span class="dim">${format.percent(amount, total)}</span></li>`)}</ul>`;
}

// Cost and bound over time; the server samples them as long as it runs.
function Course({data}) {
  const box = useRef(null);
  const [course, setCourse] = useState(null);
  const tick = Math.floor(data.now / 10);
  useEffect(() => {
    let gone = false;
    fetch('/api/history').then((answer) => answer.json()).then((found) => { if (!gone) setCourse(found); }).catch(() => null);
    return () => { gone = true; };
  }, [tick]);
  useEffect(() => {
    if (!course || course.time.length < 2) return undefined;
    const ink = getComputedStyle(document.documentElement).getPropertyValue('--dim').trim();
    const axis = {stroke: ink, grid: {stroke: `${ink}33`, width: 1}};
    const money = (self, values) => values.map((one) => `$${one}`);
    const chart = new uPlot({
      width: box.current.clientWidth, height: 190, cursor: {y: false},
      series: [
        {}, {label: 'cost $/h', stroke: '#0072b2', width: 2, fill: '#0072b222'},
        {label: 'bound $/h', stroke: '#009e73', width: 2, dash: [5, 4]}, {label: 'stranded $/h', stroke: '#d55e00', width: 1.5},
      ],
      axes: [axis, {...axis, values: money, size: 64}],
      scales: {y: {range: (self, low, high) => [0, (high || 1) * 1.1]}},
    }, [course.time, course.cost, course.bound, course.stranded], box.current);
    const resize = () => chart.setSize({width: box.current.clientWidth, height: 190});
    addEventListener('resize', resize);
    return () => { removeEventListener('resize', resize); chart.destroy(); };
  }, [course]);
  return html`<div ref=${box} class="course">
    ${(!course || course.time.length < 2) && html`<p class="note">The course is drawn from the second sample on, ten seconds from the start.</p>`}</div>`;
}
