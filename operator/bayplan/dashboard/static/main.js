// The frame of the page: views, filter, keys, and the state of the connection.
import {html, render, useEffect, useRef, useState} from './lib.js';
import {Bins} from './bins.js';
import {Data} from './data.js';
import {Decisions} from './decisions.js';
import {chosen, Detail} from './detail.js';
import * as format from './format.js';
import {Jobs} from './jobs.js';
import {Money, sums} from './money.js';
import {Pools} from './pools.js';
import {address, choose, useRoute} from './route.js';
import {Services} from './services.js';
import {Waiting} from './waiting.js';

const VIEWS = {
  bins: ['Bins', Bins], money: ['Money', Money], waiting: ['Waiting', Waiting], jobs: ['Jobs', Jobs],
  services: ['Services', Services], pools: ['Pools', Pools], decisions: ['Decisions', Decisions],
};
const KEYS = [
  ['1 … 7', 'turn to a view'], ['/', 'filter'], ['t', 'bins or a table of the same'], ['g', 'group the bins in another way'],
  ['c', 'colour the bins in another way'], ['+ −', 'larger or smaller bins; 0 fits all'], ['arrows', 'another bin, when the bins have the focus'],
  ['Esc', 'close the details, the filter, this help'], ['d', 'dark, light, or as the system has it'], ['?', 'this help'],
];
const THEMES = ['', 'dark', 'light'];
const STATES = {
  connecting: 'The cluster is being read …',
  lost: 'The dashboard does not answer; what is shown may be old. Trying again.',
  locked: 'This page has no session. Open the link that `bayplan dashboard` printed.',
};

const data = new Data();

function App() {
  const route = useRoute();
  const [, redraw] = useState(0);
  const [help, setHelp] = useState(false);
  const search = useRef(null);
  useEffect(() => data.subscribe(() => redraw(data.serial)), []);
  useEffect(() => {
    const timer = setInterval(() => redraw(-Date.now()), 5000); // ages grow
    return () => clearInterval(timer);
  }, []);
  const view = VIEWS[route.view] ? route.view : 'bins';
  const filter = route.query.filter ?? '';
  useEffect(() => {
    const press = (event) => key(event, {view, query: route.query, search, setHelp});
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  });
  useEffect(() => { document.title = `${VIEWS[view][0]} · Bayplan ${data.about.context}`; });
  const what = chosen(route.query);
  const View = VIEWS[view][1];
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>Skip to the content</a>
    <header class="top">
      <b class="brand">Bayplan</b>
      <nav aria-label="Views">${Object.entries(VIEWS).map(([name, [title]], at) => html`
        <a href=${address(name, {filter})} aria-current=${name === view ? 'page' : null} title=${`key ${at + 1}`}>${title}<${Count} name=${name} /></a>`)}</nav>
      <input ref=${search} type="search" placeholder="Filter ( / )" aria-label="Filter" value=${filter}
        onInput=${(event) => choose({filter: event.target.value}, {keep: true})} />
      <button onClick=${() => setHelp(true)} aria-label="Help">?</button>
    </header>
    <${Strip} />
    <div class="body">
      <main id="main" tabindex="-1">${data.columns.nodes
        ? html`<${View} data=${data} query=${route.query} filter=${filter} />`
        : html`<p class="note">${STATES[data.state]}</p>`}</main>
      ${what && data.columns.nodes && html`<${Detail} key=${JSON.stringify(what)} data=${data} what=${what} />`}
    </div>
    ${help && html`<${Help} close=${() => setHelp(false)} />`}`;
}

function Count({name}) {
  const count = name === 'waiting' ? (data.podsOn.get('')?.size ?? 0) : 0;
  return count ? html` <span class="count">${count}</span>` : null;
}

// One line that is always there: what is shown, what it costs, and whether it is true now.
function Strip() {
  const found = data.columns.nodes ? sums(data) : null;
  // Without Karpenter there are no NodeClaims, which is no fault.
  const lacks = data.rows('lacks').filter(([kind, why]) => kind !== 'NodeClaim' || why !== 'not defined in this cluster');
  return html`
    <div class="strip" role="status">
      <span class=${`light ${data.state}`} title=${data.state}></span>
      <span>${data.about.context || 'current context'}${data.about.namespace ? `, namespace ${data.about.namespace}` : ''}</span>
      ${found && html`<span>${format.number(data.tables.nodes.size)} nodes</span>
        <span>${format.number(data.tables.pods.size)} pods</span>
        <span>${format.dollars(found.total)}/h</span>
        ${found.bound != null && html`<span>bound ${format.dollars(found.bound)}/h</span>`}`}
      ${STATES[data.state] && html`<span class="bad">${STATES[data.state]}</span>`}
      ${!data.complete && data.columns.nodes && html`<span class="dim">reading …</span>`}
      ${data.state === 'recorded' && html`<${Slider} />`}
    </div>
    ${lacks.map(([kind, why]) => html`<p class="warning">${kind}s: ${why}</p>`)}`;
}

function Slider() {
  const {first, last} = data.about;
  if (first === last) return html`<span class="dim">as of ${format.moment(last)}</span>`;
  return html`<label class="slider">at ${format.moment(data.moment ?? last)}
    <input type="range" min=${first} max=${last} value=${data.moment ?? last} aria-label="Moment of the recording"
      onChange=${(event) => data.load(Number(event.target.value))} /></label>`;
}

function Help({close}) {
  const box = useRef(null);
  useEffect(() => { box.current.showModal(); }, []);
  return html`<dialog ref=${box} onClose=${close} aria-label="Keys">
    <h3>Keys</h3><dl class="facts">${KEYS.map(([one, does]) => html`<dt><kbd>${one}</kbd></dt><dd>${does}</dd>`)}</dl>
    <p class="dim">The page shows, and changes nothing. It sees what you may see: lists and watches with your own rights.</p>
    <button onClick=${() => box.current.close()}>Close</button></dialog>`;
}

function key(event, {view, query, search, setHelp}) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches('input, select, textarea')) {
    if (event.key === 'Escape') { event.target.blur(); if (event.target === search.current) choose({filter: ''}, {keep: true}); }
    return;
  }
  const names = Object.keys(VIEWS);
  const zoom = Number(query.zoom) || 48;
  const turn = (name, options) => choose({[name]: options[(options.indexOf(query[name] ?? options[0]) + 1) % options.length]}, {keep: true});
  const does = {
    '/': () => search.current.focus(), '?': () => setHelp(true), d: theme,
    t: () => view === 'bins' && choose({table: query.table ? '' : '1'}),
    g: () => turn('group', ['pool', 'zone', 'type', 'none']),
    c: () => turn('colour', ['workload', 'namespace', 'kind', 'price', 'age', 'state']),
    '+': () => choose({zoom: Math.min(132, Math.round(zoom * 1.3))}, {keep: true}),
    '-': () => choose({zoom: Math.max(10, Math.round(zoom / 1.3))}, {keep: true}),
    0: () => choose({zoom: ''}, {keep: true}),
    Escape: () => choose(query.node || query.pod || query.object ? {node: '', pod: '', object: ''} : {filter: ''}, {keep: true}),
  }[event.key] ?? (names[event.key - 1] && (() => choose({filter: query.filter ?? ''}, {view: names[event.key - 1]})));
  if (!does) return;
  event.preventDefault();
  does();
}

function theme() {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? '') + 1) % THEMES.length];
  document.documentElement.dataset.theme = next;
  localStorage.setItem('theme', next);
}

document.documentElement.dataset.theme = localStorage.getItem('theme') ?? '';
addEventListener('hashchange', () => { if (location.hash.includes('token=')) data.start(); });
const root = document.getElementById('app');
root.replaceChildren();
render(html`<${App} />`, root);
data.start();
