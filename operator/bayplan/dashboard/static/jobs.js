// BatchJobs: a list, the graph of parents, and a Gantt chart of runs.
import {html, useEffect, useRef, useState} from './lib.js';
import * as format from './format.js';
import {choose} from './route.js';
import {Table} from './table.js';

// The places in a run, as reports/board/rows.py writes them.
const RUN = {id: 0, state: 1, slot: 2, start: 3, end: 4, exit: 5, node: 6, attempts: 7, reason: 8, wrong: 9};
const MOST_DRAWN = 60;

export function Jobs({data, filter, query}) {
  const part = ['list', 'graph', 'gantt'].includes(query.part) ? query.part : 'list';
  const Part = {list: List, graph: Graph, gantt: Gantt}[part];
  return html`
    <h2>Jobs</h2>
    <p class="tools">${['list', 'graph', 'gantt'].map((one) => html`
      <button aria-pressed=${one === part} onClick=${() => choose({part: one})}>${{list: 'List', graph: 'Parents', gantt: 'Runs in time'}[one]}</button>`)}</p>
    <${Part} data=${data} filter=${filter} />`;
}

const reader = (data) => (row, name) => row[data.at('jobs', name)];
const openJob = (value) => (row) => choose({object: `BatchJob/${value(row, 'namespace')}/${value(row, 'name')}`});
const outcome = (run) => run[RUN.wrong] ? 'failed' : run[RUN.state] === 'Running' ? 'running' : run[RUN.end] ? 'done' : 'starting';

function List({data, filter}) {
  const value = reader(data), now = data.now;
  const columns = [
    {title: 'Job', value: (row) => value(row, 'name')},
    {title: 'Namespace', value: (row) => value(row, 'namespace')},
    {title: 'Schedule', value: (row) => value(row, 'schedule') || value(row, 'parents').map((one) => `after ${one}`).join(', '),
      show: (row) => html`${value(row, 'schedule') ? html`<code>${value(row, 'schedule')}</code> <span class="dim">${value(row, 'zone')}</span>` : value(row, 'parents').length ? `after ${value(row, 'parents').join(', ')}` : 'once'}`},
    {title: 'Next', right: true, value: (row) => value(row, 'next') || null, show: (row) => value(row, 'suspended') ? 'paused' : format.relative(value(row, 'next'), now)},
    {title: 'Last', right: true, value: (row) => value(row, 'last') || null, show: (row) => format.relative(value(row, 'last'), now)},
    {title: 'Result', value: (row) => value(row, 'result'), show: (row) => html`<span class=${/^(Run)?(Failed|Lost|Missed)/.test(value(row, 'result')) ? 'bad' : ''}>${value(row, 'result')}</span>`},
    {title: 'Running', right: true, value: (row) => value(row, 'running')},
    {title: 'Last runs', value: (row) => value(row, 'runs').filter((run) => run[RUN.wrong]).length,
      show: (row) => html`<span class="dots" role="img" aria-label=${value(row, 'runs').map((run) => run[RUN.state]).join(', ') || 'no run yet'}>${[...value(row, 'runs')].reverse().map((run) => html`<i class=${outcome(run)} title=${`${run[RUN.state]} ${format.moment(run[RUN.end] || run[RUN.start])}`}></i>`)}</span>`},
    {title: 'What it says', wide: true, value: (row) => value(row, 'message')},
  ];
  return html`<${Table} name="Jobs" columns=${columns} rows=${data.rows('jobs')} filter=${filter} open=${openJob(value)}
    empty="There are no BatchJobs. Try: kubectl apply -f examples/" />`;
}

// Jobs with parents or children, in columns: a job stands to the right of all of its parents.
function Graph({data, filter}) {
  const value = reader(data);
  const key = (row) => `${value(row, 'namespace')}/${value(row, 'name')}`;
  const all = new Map(data.rows('jobs').map((row) => [key(row), row]));
  const links = [];
  for (const [child, row] of all) {
    for (const name of value(row, 'parents')) {
      const parent = `${value(row, 'namespace')}/${name}`;
      if (all.has(parent)) links.push([parent, child]);
    }
  }
  const tied = tiedTo(links, filter.toLowerCase());
  if (!tied.size) return html`<p class="note">${links.length ? `No job with parents or children has “${filter}”.` : 'No job has a parent.'}</p>`;
  const rank = new Map([...tied].map((one) => [one, 0]));
  for (let round = 0; round < tied.size; round += 1) { // a circle ends after so many rounds
    let moved = false;
    for (const [parent, child] of links) {
      if (tied.has(child) && rank.get(child) <= rank.get(parent) && rank.get(parent) + 1 < tied.size) {
        rank.set(child, rank.get(parent) + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  const columns = [];
  for (const one of [...tied].sort()) (columns[rank.get(one)] ??= []).push(one);
  const W = 230, H = 36, X = 290, Y = 48;
  const namespaces = new Set([...tied].map((one) => one.split('/')[0]));
  const label = (one) => namespaces.size > 1 ? one : one.split('/')[1];
  const at = new Map();
  columns.forEach((members, column) => members?.forEach((one, line) => at.set(one, {x: column * X + 4, y: line * Y + 4})));
  const width = columns.length * X, height = Math.max(...columns.map((one) => one?.length ?? 0)) * Y + 8;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Graph of parents">
    <svg width=${width} height=${height} role="group" aria-label=${`${tied.size} jobs and what they wait for`}>
      ${links.filter(([parent]) => tied.has(parent)).map(([parent, child]) => {
        const from = at.get(parent), to = at.get(child), middle = (from.x + W + to.x) / 2;
        return html`<path class="edge" d=${`M${from.x + W} ${from.y + H / 2} C${middle} ${from.y + H / 2} ${middle} ${to.y + H / 2} ${to.x} ${to.y + H / 2}`} />`;
      })}
      ${[...tied].map((one) => {
        const row = all.get(one), {x, y} = at.get(one), runs = value(row, 'runs');
        return html`<g class="job" tabindex="0" role="button" aria-label=${`${one}, ${value(row, 'status')}`} onClick=${() => openJob(value)(row)}
            onKeyDown=${(event) => event.key === 'Enter' && openJob(value)(row)}>
          <rect class=${runs.length ? outcome(runs[0]) : 'fresh'} x=${x} y=${y} width=${W} height=${H} rx="5" />
          <text x=${x + 10} y=${y + 14}>${label(one).length > 31 ? `${label(one).slice(0, 30)}…` : label(one)}</text>
          <text class="dim" x=${x + 10} y=${y + 27}>${value(row, 'running') ? `${value(row, 'running')} running` : runs.length ? value(row, 'result') : 'no run yet'}</text></g>`;
      })}
    </svg></div>`;
}

// All jobs that a job whose name has the word depends on, and all that depend on it.
function tiedTo(links, word) {
  const found = new Set(links.flat().filter((one) => one.toLowerCase().includes(word)));
  const spread = (from, to) => {
    const todo = [...found];
    const seen = new Set(todo);
    while (todo.length) {
      const one = todo.pop();
      for (const link of links) {
        if (link[from] === one && !seen.has(link[to])) { seen.add(link[to]); todo.push(link[to]); }
      }
    }
    return seen;
  };
  return new Set([...spread(0, 1), ...spread(1, 0)]);
}

const clock = (at, back) => new Date(at * 1000).toLocaleString('en-GB', back > 86400 ? {weekday: 'short', hour: '2-digit', minute: '2-digit'} : {hour: '2-digit', minute: '2-digit'});

const SPANS = {'1 h': 3600, '6 h': 21600, '24 h': 86400, '7 d': 604800};

function Gantt({data, filter}) {
  const [span, setSpan] = useState('6 h');
  const [width, setWidth] = useState(900);
  const box = useRef(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(400, entry.contentRect.width)));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const value = reader(data), now = data.now, NAME = 200, ROW = 22;
  const back = SPANS[span], from = now - back, to = now + back / 3;
  const x = (at) => NAME + (width - NAME - 8) * (Math.min(to, Math.max(from, at)) - from) / (to - from);
  const words = filter.toLowerCase();
  const rows = data.rows('jobs').filter((row) => `${value(row, 'namespace')}/${value(row, 'name')}`.toLowerCase().includes(words))
    .filter((row) => value(row, 'runs').some((run) => (run[RUN.end] || now) >= from) || value(row, 'upcoming').some((at) => at <= to));
  const named = (row) => `${value(row, 'namespace')}/${value(row, 'name')}`;
  const shown = rows.sort((one, other) => named(one).localeCompare(named(other), 'en', {numeric: true})).slice(0, MOST_DRAWN);
  const step = back / 4;
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at < to; at += step) ticks.push(at);
  return html`<div ref=${box}>
    <p class="tools">${Object.keys(SPANS).map((one) => html`<button aria-pressed=${one === span} onClick=${() => setSpan(one)}>${one}</button>`)}
      <span class="dim">The last ten runs of each job are known. Outlined: planned.</span></p>
    <div class="scroll" tabindex="0" role="region" aria-label="Runs in time">
      <svg width=${width} height=${shown.length * ROW + 30} role="group" aria-label=${`Runs of ${shown.length} jobs`}>
        ${ticks.map((at) => html`<line class="grid" x1=${x(at)} x2=${x(at)} y1="20" y2=${shown.length * ROW + 26} /><text class="dim" x=${x(at) + 3} y="12">${clock(at, back)}</text>`)}
        <line class="now" x1=${x(now)} x2=${x(now)} y1="16" y2=${shown.length * ROW + 26} />
        ${shown.map((row, line) => {
          const y = 26 + line * ROW, name = `${value(row, 'namespace')}/${value(row, 'name')}`;
          return html`
            <text class="name" x="4" y=${y + 11} tabindex="0" role="button" onClick=${() => openJob(value)(row)}
              onKeyDown=${(event) => event.key === 'Enter' && openJob(value)(row)}>${name.length > 30 ? `…${name.slice(-29)}` : name}</text>
            ${value(row, 'runs').filter((run) => run[RUN.start] && (run[RUN.end] || now) >= from).map((run) => html`
              <rect class=${`run ${outcome(run)}`} x=${x(run[RUN.start])} y=${y} width=${Math.max(3, x(run[RUN.end] || now) - x(run[RUN.start]))} height=${ROW - 7} rx="2">
                <title>${tell(run)}</title></rect>`)}
            ${value(row, 'suspended') ? null : value(row, 'upcoming').filter((at) => at > now && at <= to).map((at) => html`
              <rect class="run planned" x=${x(at)} y=${y} width="6" height=${ROW - 7} rx="2"><title>${`planned at ${format.moment(at)}`}</title></rect>`)}`;
        })}
      </svg></div>
    ${shown.length === 0 && html`<p class="note">No job ran in this time, and none is due.</p>`}
    ${rows.length > shown.length && html`<p class="note">${rows.length - shown.length} more jobs; filter by name to see them.</p>`}</div>`;
}

const tell = (run) => [
  run[RUN.state], run[RUN.exit] == null ? '' : `exit code ${run[RUN.exit]}`, `from ${format.moment(run[RUN.start])}`,
  run[RUN.end] ? `to ${format.moment(run[RUN.end])}` : 'and still under way', run[RUN.attempts] > 1 ? `${run[RUN.attempts]} attempts` : '',
  run[RUN.node] && `on ${run[RUN.node]}`, run[RUN.reason],
].filter(Boolean).join(', ');

// The runs of one job, for its details.
export function Runs({data, namespace, name}) {
  const row = data.tables.jobs?.get(`${namespace}/${name}`);
  if (!row) return null;
  const runs = row[data.at('jobs', 'runs')];
  return html`<h4>Runs</h4>${runs.length === 0 && html`<p class="note">It has not run yet.</p>`}
    <ul class="runs">${runs.map((run) => html`<li><i class=${`dot ${outcome(run)}`}></i> ${tell(run)}
      <${Copy} text=${`bayplan logs ${name} ${run[RUN.id]} -n ${namespace}`} /></li>`)}</ul>`;
}

export function Copy({text}) {
  const [done, set] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => { set(true); setTimeout(() => set(false), 1500); }, () => null);
  return html`<div class="copy"><code>${text}</code> <button onClick=${copy} aria-label=${`Copy: ${text}`}>${done ? 'copied' : 'copy'}</button></div>`;
}
