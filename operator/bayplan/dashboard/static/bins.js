// Every node as a bin: two bars, CPU and memory, filled by its pods from the bottom up.
import {html, useEffect, useMemo, useRef, useState} from './lib.js';
import * as colours from './colours.js';
import * as format from './format.js';
import {poolOf} from './pool.js';
import {choose} from './route.js';
import {Table} from './table.js';

const GAP = 6, HEAD = 24, LABEL = 13, MIN_WIDTH = 10, MAX_WIDTH = 132, LEAST_NAMED = 64;
const GROUPS = ['pool', 'zone', 'type', 'none'];
const COLOURS = ['workload', 'namespace', 'kind', 'price', 'age', 'state'];

// Where each node is: a list of headings and a list of bins, for a width and a size of bins.
export function layout(nodes, {group, width, size}) {
  const groups = new Map();
  for (const node of nodes) {
    const word = group === 'none' ? '' : node[group] || `no ${group}`;
    if (!groups.has(word)) groups.set(word, []);
    groups.get(word).push(node);
  }
  const tall = Math.round(size * 1.5), step = size + GAP;
  const label = size >= LEAST_NAMED ? LABEL : 0;
  const across = Math.max(1, Math.floor((width + GAP) / step));
  const headings = [], bins = [];
  let y = 0;
  for (const word of [...groups.keys()].sort((one, other) => one.localeCompare(other, 'en', {numeric: true}))) {
    const members = groups.get(word);
    if (group !== 'none') {
      headings.push({y, word, nodes: members});
      y += HEAD;
    }
    members.forEach((node, at) => bins.push({
      node, x: (at % across) * step, y: y + Math.floor(at / across) * (tall + GAP + label), w: size, h: tall,
    }));
    y += Math.ceil(members.length / across) * (tall + GAP + label) + GAP;
  }
  return {headings, bins, height: y, across, size};
}

// The largest size at which all nodes are seen at once, within bounds.
export function fitting(nodes, group, width, height) {
  let low = MIN_WIDTH, high = MAX_WIDTH;
  while (low < high) {
    const size = Math.ceil((low + high) / 2);
    if (layout(nodes, {group, width, size}).height <= height) low = size; else high = size - 1;
  }
  return low;
}

// The nodes and their pods as the picture needs them; pods in the order in which they are stacked.
// A change of some pods makes only the bins of their nodes anew.
export class Picture {
  constructor(data) {
    this.data = data;
    this.look = '';
    this._forget();
  }

  _forget() {
    this.bins = new Map();
    this.sorted = null; // names of nodes in their order
    this.words = new Map(); // word of the legend -> {count, colour}
    this.serial = 0; // grows when nodes come or go
  }

  // Make what has changed anew; afterwards `list` and `words` are up to date.
  update({colour, filter}) {
    const {data} = this;
    const nodes = data.tables.nodes ?? new Map();
    const price = data.at('nodes', 'price');
    let dearest = 1;
    for (const row of nodes.values()) if (row[price] > dearest) dearest = row[price];
    const pools = data.rows('pools').map((row) => `${row[data.at('pools', 'name')]}=${row[data.at('pools', 'nodePool')]}=${row[data.at('pools', 'groups')]}`).join();
    const look = [colour, filter, dearest, pools, data.loads].join('|');
    const touched = data.takeTouched();
    if (look !== this.look) this._forget();
    else for (const name of touched) this._drop(name);
    this.look = look;
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const settings = {colour, words, dearest, poolOfRow: poolOf(data)};
    if (this.bins.size < nodes.size) {
      for (const [name, row] of nodes) if (!this.bins.has(name)) this._add(name, binOf(data, row, settings));
    }
    if (this.sorted?.length !== nodes.size || this.sorted.some((name) => !this.bins.has(name))) {
      this.sorted = [...this.bins.keys()].sort(order.compare);
      this.serial += 1;
    }
  }

  get list() { return this.sorted.map((name) => this.bins.get(name)); }

  _add(name, bin) {
    this.bins.set(name, bin);
    for (const pod of bin.pods) {
      const known = this.words.get(pod.word);
      if (known) known.count += 1; else this.words.set(pod.word, {count: 1, colour: pod.colour});
    }
  }

  _drop(name) {
    const bin = this.bins.get(name);
    if (!bin) return;
    this.bins.delete(name);
    for (const pod of bin.pods) {
      const known = this.words.get(pod.word);
      known.count -= 1;
      if (!known.count) this.words.delete(pod.word);
    }
  }
}

const order = new Intl.Collator('en', {numeric: true});

function binOf(data, row, {colour, words, dearest, poolOfRow}) {
  const node = (name) => row[data.at('nodes', name)];
  const bin = {
    name: node('name'), type: node('type'), zone: node('zone'), pool: poolOfRow(row), state: node('state'),
    price: node('price'), cpu: node('cpu'), memory: node('memory'), created: node('created'),
    capacity: node('capacity'), stranded: data.tables.waste?.has(node('name')) ?? false, pods: [],
  };
  const of = Object.fromEntries(data.columns.pods.map((name, at) => [name, at]));
  const own = `${bin.name} ${bin.type} ${bin.zone} ${bin.pool} ${bin.state}`.toLowerCase();
  bin.lit = words.every((word) => own.includes(word));
  for (const key of data.podsOn.get(bin.name) ?? []) {
    const one = data.tables.pods.get(key);
    const pod = {
      key, namespace: one[of.namespace], name: one[of.name], owner: one[of.owner], cpu: one[of.cpu],
      memory: one[of.memory], phase: one[of.phase], resident: one[of.resident], created: one[of.created],
    };
    const text = bin.lit ? '' : `${key} ${pod.owner} ${own}`.toLowerCase();
    pod.lit = bin.lit || words.every((word) => text.includes(word));
    pod.colour = colourOf(pod, bin, colour, {now: data.now, dearest});
    pod.word = wordOf(pod, colour);
    bin.pods.push(pod);
  }
  bin.any = bin.lit || bin.pods.some((pod) => pod.lit);
  // What belongs to the node is at the bottom; pods of a workload are side by side.
  bin.pods.sort((one, other) => other.resident - one.resident || less(one.owner, other.owner) || less(one.key, other.key));
  return bin;
}

// What the legend calls the pod; empty where colours are amounts.
function wordOf(pod, colour) {
  switch (colour) {
    case 'namespace': return pod.namespace;
    case 'kind': return pod.owner.split(' ')[0];
    case 'state': return pod.phase;
    case 'workload': return `${pod.namespace}/${pod.owner}`;
    default: return '';
  }
}

const less = (one, other) => one < other ? -1 : one > other ? 1 : 0;

function colourOf(pod, bin, colour, {now, dearest}) {
  if (pod.resident && colour !== 'namespace') return colours.GREY;
  switch (colour) {
    case 'namespace': return colours.ofWord(pod.namespace);
    case 'kind': return colours.ofWord(pod.owner.split(' ')[0]);
    case 'price': return colours.ofShare((bin.price ?? 0) / dearest);
    case 'age': return colours.ofShare(Math.log10(1 + Math.max(0, now - pod.created)) / 7);
    case 'state': return colours.ofWord(pod.phase);
    default: return colours.ofWord(`${pod.namespace}/${pod.owner}`);
  }
}

// Draw everything that is seen, or with `only` the bins of these nodes.
export function draw(canvas, plan, {top, height, width, selected, hovered, style, ratio, only}) {
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.textBaseline = 'middle';
  pen.font = '600 12px system-ui, sans-serif';
  if (only) {
    for (const bin of plan.bins) {
      if (!only.has(bin.node.name)) continue;
      pen.clearRect(bin.x - 3, bin.y - top - 3, bin.w + 6, bin.h + 6 + (bin.w >= LEAST_NAMED ? LABEL : 0));
      drawBin(pen, bin, bin.y - top, style, selected, hovered);
    }
    return;
  }
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = style.text;
  for (const {y, word, nodes} of plan.headings) {
    if (y + HEAD < top || y > top + height) continue;
    const price = nodes.reduce((sum, one) => sum + (one.price ?? 0), 0);
    pen.fillText(`${word}   ${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'}, ${format.dollars(price)}/h`, 0, y - top + HEAD / 2);
  }
  for (const bin of plan.bins) {
    if (bin.y + bin.h + LABEL < top || bin.y > top + height) continue;
    drawBin(pen, bin, bin.y - top, style, selected, hovered);
  }
}

function drawBin(pen, {node, x, w, h}, y, style, selected, hovered) {
  const bar = (w - 2) / 2;
  pen.globalAlpha = node.any ? 1 : 0.25;
  pen.fillStyle = style.empty;
  pen.fillRect(x, y, w, h);
  stack(pen, node, 'cpu', x, y, bar, h, style);
  stack(pen, node, 'memory', x + bar + 2, y, bar, h, style);
  pen.globalAlpha = 1;
  const leaves = node.state !== 'Open' && node.state !== 'New';
  if (leaves) {
    pen.setLineDash([3, 2]);
    pen.strokeStyle = style.warn;
    pen.lineWidth = 1.5;
    pen.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
    pen.setLineDash([]);
  }
  if (node.name === selected || node.name === hovered) {
    pen.strokeStyle = style.accent;
    pen.lineWidth = node.name === selected ? 3 : 1.5;
    pen.strokeRect(x - 1, y - 1, w + 2, h + 2);
  }
  if (w >= LEAST_NAMED) {
    pen.fillStyle = style.dim;
    pen.font = '10px system-ui, sans-serif';
    pen.fillText(fitted(node.type || node.name, w), x, y + h + LABEL / 2 + 1, w);
    pen.font = '600 12px system-ui, sans-serif';
  }
}

const fitted = (text, width) => text.length * 5.4 > width ? `${text.slice(0, Math.max(1, Math.floor(width / 5.4) - 1))}…` : text;

function stack(pen, node, what, x, y, w, h, style) {
  const room = node[what];
  if (!room) return;
  let from = y + h;
  let pending = null; // neighbours of one colour are drawn as one block when they are thin
  const flush = () => {
    if (!pending) return;
    pen.globalAlpha = pending.lit ? 1 : 0.18;
    pen.fillStyle = pending.colour;
    pen.fillRect(x, pending.to, w, pending.from - pending.to);
    pending = null;
  };
  for (const pod of node.pods) {
    const tall = Math.min(from - y, h * pod[what] / room);
    if (tall <= 0) continue;
    const to = from - tall;
    if (pending && (pending.colour !== pod.colour || pending.lit !== pod.lit)) flush();
    if (tall >= 4) {
      flush();
      pending = {colour: pod.colour, lit: pod.lit, from: from - 0.5, to: to + 0.5};
      flush();
    } else pending = {colour: pod.colour, lit: pod.lit, from: pending ? pending.from : from, to};
    from = to;
  }
  flush();
  pen.globalAlpha = 1;
  if (node.stranded && from > y + 1) {
    pen.fillStyle = style.hatch;
    pen.fillRect(x, y, w, from - y);
  }
}

// What is at a place: a bin and, if the pointer is on one, its pod.
export function hit(plan, x, y) {
  const bin = plan.bins.find((one) => x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h);
  if (!bin) return null;
  const what = x - bin.x < bin.w / 2 ? 'cpu' : 'memory';
  let from = bin.y + bin.h;
  for (const pod of bin.node.pods) {
    from -= bin.h * pod[what] / (bin.node[what] || 1);
    if (y >= from) return {node: bin.node, pod};
  }
  return {node: bin.node, pod: null};
}

function hatch(colour) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const pen = tile.getContext('2d');
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, 6);
  pen.lineTo(6, 0);
  pen.stroke();
  return pen.createPattern(tile, 'repeat');
}

function styleOf() {
  const value = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return {
    text: value('--text'), dim: value('--dim'), empty: value('--bin'), accent: value('--accent'),
    warn: value('--warn'), hatch: hatch(value('--hatch')),
  };
}

export function Bins({data, query, filter}) {
  const group = GROUPS.includes(query.group) ? query.group : 'pool';
  const colour = COLOURS.includes(query.colour) ? query.colour : 'workload';
  const chosen = query.node ?? '';
  const only = query.pool ?? '';
  const picture = useRef(null);
  picture.current ??= new Picture(data);
  picture.current.update({colour, filter});
  const nodes = only ? picture.current.list.filter((node) => node.pool === only) : picture.current.list;
  if (query.table) return html`<${NodeTable} data=${data} nodes=${nodes} filter=${filter} />`;
  return html`
    <div class="tools">
      <${Choice} name="group" label="Group by" value=${group} options=${GROUPS} />
      <${Choice} name="colour" label="Colour by" value=${colour} options=${COLOURS} />
      <span class="dim">Left bar CPU, right bar memory, as shares of allocatable.
        Hatched: stranded. Dashed: on its way out.</span>
    </div>
    <${Canvas} data=${data} nodes=${nodes} group=${group} selected=${chosen} zoom=${Number(query.zoom) || 0}
      look=${`${picture.current.look}|${picture.current.serial}|${only}`} />
    <${Legend} words=${picture.current.words} colour=${colour} />`;
}

export function Choice({name, label, value, options}) {
  return html`<label>${label} <select value=${value} onChange=${(event) => choose({[name]: event.target.value})}>
    ${options.map((one) => html`<option value=${one} selected=${one === value}>${one}</option>`)}</select></label>`;
}

// `look` changes when nodes come or go, or all colours change.
function Canvas({data, nodes, group, selected, zoom, look}) {
  const box = useRef(null), canvas = useRef(null), plan = useRef(null), view = useRef({drawn: new Map()});
  const [size, setSize] = useState({width: 0, height: 0});
  const [tip, setTip] = useState(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const {width, height} = entry.contentRect;
      setSize({width: Math.floor(width), height: Math.floor(height)});
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const padded = Math.max(0, size.width - 24);
  const unit = useMemo(() => zoom || (size.width ? fitting(nodes, group, padded, size.height - 24) : MIN_WIDTH), [look, group, size, zoom]);
  plan.current = layout(nodes, {group, width: padded, size: unit});
  const paint = () => {
    if (!canvas.current || !size.width) return;
    const {current: now} = view;
    const ratio = devicePixelRatio || 1;
    const wide = Math.round(padded * ratio), tall = Math.round(size.height * ratio);
    now.style ??= styleOf();
    const top = box.current.scrollTop;
    const place = [look, group, unit, wide, tall, top, document.documentElement.dataset.theme].join('|');
    let only = null;
    if (place === now.place && now.style === now.inStyle) {
      only = new Set([now.hoveredThen, now.hovered, now.selectedThen, selected].filter(Boolean));
      for (const node of nodes) if (now.drawn.get(node.name) !== node) only.add(node.name);
    } else {
      canvas.current.width = wide;
      canvas.current.height = tall;
    }
    draw(canvas.current, plan.current, {
      top, height: size.height, width: padded, ratio, selected, hovered: now.hovered, style: now.style, only,
    });
    Object.assign(now, {place, inStyle: now.style, hoveredThen: now.hovered, selectedThen: selected, drawn: new Map(nodes.map((node) => [node.name, node]))});
    canvas.current.dataset.nodes = nodes.length; // so many are drawn
  };
  const repaint = () => {
    cancelAnimationFrame(view.current.frame);
    view.current.frame = requestAnimationFrame(paint);
  };
  useEffect(() => {
    const changed = () => { view.current.style = null; repaint(); };
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', changed);
    const theme = new MutationObserver(changed);
    theme.observe(document.documentElement, {attributeFilter: ['data-theme']});
    return () => { scheme.removeEventListener('change', changed); theme.disconnect(); };
  }, []);
  useEffect(repaint);
  const place = (event) => {
    const area = canvas.current.getBoundingClientRect();
    return hit(plan.current, event.clientX - area.left, event.clientY - area.top + box.current.scrollTop);
  };
  const hover = (event) => {
    const found = place(event);
    const name = found?.node.name;
    if (name !== view.current.hovered) { view.current.hovered = name; repaint(); }
    setTip(found && {...found, x: event.clientX, y: event.clientY});
  };
  const click = (event) => {
    const found = place(event);
    if (found) choose({node: found.node.name, pod: found.pod?.key ?? ''});
  };
  const key = (event) => {
    const {bins, across} = plan.current;
    const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across}[event.key];
    if (!by || !bins.length) return;
    event.preventDefault();
    const at = bins.findIndex((bin) => bin.node.name === selected);
    const next = bins[Math.min(bins.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    choose({node: next.node.name, pod: ''}, {keep: true});
    if (next.y < box.current.scrollTop || next.y + next.h > box.current.scrollTop + size.height) {
      box.current.scrollTop = Math.max(0, next.y - size.height / 2);
    }
  };
  const summary = `${nodes.length} nodes as bins. Press t for a table of the same.`;
  return html`
    <div class="bins" ref=${box} onScroll=${repaint} tabindex="0" role="application" aria-label=${summary} onKeyDown=${key}>
      <div class="spacer" style=${{height: `${plan.current.height + 12}px`}}>
        <canvas ref=${canvas} role="img" aria-label=${summary} style=${{width: `${padded}px`, height: `${size.height}px`}}
          onMouseMove=${hover} onMouseLeave=${() => { setTip(null); view.current.hovered = null; repaint(); }} onClick=${click}></canvas>
      </div>
      ${nodes.length === 0 && html`<p class="note">${data.complete ? 'There are no nodes.' : 'Nodes are being listed.'}</p>`}
      ${tip && html`<${Tip} ...${tip} />`}
    </div>`;
}

function Tip({node, pod, x, y}) {
  const right = x > innerWidth - 320;
  const style = {left: right ? 'auto' : `${x + 14}px`, right: right ? `${innerWidth - x + 14}px` : 'auto', top: `${Math.min(y + 14, innerHeight - 110)}px`};
  return html`<div class="tip" style=${style} role="status">
    <b>${node.name}</b><br />${node.type} ${node.capacity} ${node.zone}, ${format.dollars(node.price, 3)}/h, ${node.state}
    ${pod && html`<hr /><b>${pod.namespace}/${pod.name}</b><br />${pod.owner}, ${format.cpu(pod.cpu)} CPU, ${format.memory(pod.memory)}, ${pod.phase}`}
  </div>`;
}

function Legend({words, colour}) {
  if (words.size === 1 && words.has('')) return html`<p class="legend dim">Pale is little, dark is much (${colour}).</p>`;
  const most = [...words].sort((one, other) => other[1].count - one[1].count);
  return html`<ul class="legend">${most.slice(0, 14).map(([word, one]) => html`
    <li><i style=${{background: one.colour}}></i><button class="plain" onClick=${() => choose({filter: word.split(/[/ ]/).pop()})}>${word}</button> <span class="dim">${one.count}</span></li>`)}
    ${most.length > 14 && html`<li class="dim">${most.length - 14} more</li>`}</ul>`;
}

function NodeTable({data, nodes, filter}) {
  const used = (node, what) => node.pods.reduce((sum, pod) => sum + pod[what], 0);
  const columns = [
    {title: 'Node', value: (node) => node.name},
    {title: 'Type', value: (node) => node.type},
    {title: 'Zone', value: (node) => node.zone},
    {title: 'Pool', value: (node) => node.pool},
    {title: 'State', value: (node) => node.state},
    {title: 'Pods', right: true, value: (node) => node.pods.length},
    {title: 'CPU', right: true, value: (node) => used(node, 'cpu') / node.cpu, show: (node) => format.percent(used(node, 'cpu'), node.cpu)},
    {title: 'Memory', right: true, value: (node) => used(node, 'memory') / node.memory, show: (node) => format.percent(used(node, 'memory'), node.memory)},
    {title: '$/h', right: true, value: (node) => node.price, show: (node) => format.dollars(node.price, 3)},
    {title: 'Age', right: true, value: (node) => data.now - node.created, show: (node) => format.ago(node.created, data.now)},
  ];
  return html`<${Table} name="Nodes" columns=${columns} rows=${nodes} filter=${filter} open=${(node) => choose({node: node.name, pod: ''})} empty="There are no nodes." />`;
}
