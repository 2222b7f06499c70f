// One object in full: what the API server and `bayplan explain` say of it, and commands to copy.
import {html, useEffect, useState} from './lib.js';
import {ask} from './data.js';
import * as format from './format.js';
import {Copy, Runs} from './jobs.js';
import {choose} from './route.js';

// What the address names: {kind, namespace, name}, or null.
export function chosen(query) {
  if (query.pod) {
    const [namespace, ...name] = query.pod.split('/');
    return {kind: 'Pod', namespace, name: name.join('/')};
  }
  if (query.object) {
    const [kind, namespace, ...name] = query.object.split('/');
    return {kind, namespace, name: name.join('/')};
  }
  return query.node ? {kind: 'Node', namespace: '', name: query.node} : null;
}

const COMMANDS = {
  Node: ({name}) => [`bayplan explain node/${name}`, `bayplan drain ${name}`, `kubectl describe node ${name}`],
  Pod: ({namespace, name}) => [`bayplan explain pod/${name} -n ${namespace}`, `kubectl logs ${name} -n ${namespace}`, `kubectl describe pod ${name} -n ${namespace}`],
  BatchJob: ({namespace, name}) => [`bayplan explain ${name} -n ${namespace}`, `bayplan run ${name} -n ${namespace}`, `bayplan pause ${name} -n ${namespace}`],
  LongService: ({namespace, name}) => [`bayplan explain ${name} -n ${namespace}`, `bayplan rollout status ${name} -n ${namespace}`, `bayplan restart ${name} -n ${namespace}`],
  Pool: ({name}) => [`bayplan explain pool/${name}`, `kubectl describe pool ${name}`],
};

export function Detail({data, what}) {
  const {kind, namespace, name} = what;
  const word = `${kind}/${namespace}/${name}`;
  const close = () => choose({node: '', pod: '', object: ''});
  useEffect(() => { document.getElementById('detail')?.focus(); }, [word]);
  return html`<aside id="detail" tabindex="-1" aria-label=${`Details of ${kind} ${name}`}>
    <header><h3>${kind} ${namespace ? `${namespace}/` : ''}${name}</h3>
      <button onClick=${close} aria-label="Close the details">✕</button></header>
    ${kind === 'Node' && html`<${Held} data=${data} name=${name} />`}
    ${kind === 'BatchJob' && html`<${Runs} data=${data} namespace=${namespace} name=${name} />`}
    ${COMMANDS[kind] && html`<${Asked} key=${`explain ${word}`} data=${data} what="explain" of=${what} title="Why" Show=${Why} />`}
    <${Asked} key=${`object ${word}`} data=${data} what="object" of=${what} title="Containers and events" Show=${Stored} />
    ${COMMANDS[kind] && html`<h4>Commands</h4>${COMMANDS[kind](what).map((one) => html`<${Copy} text=${one} />`)}`}
  </aside>`;
}

function Held({data, name}) {
  const row = data.tables.nodes?.get(name);
  if (!row) return html`<p class="note">There is no such node now.</p>`;
  const node = (what) => row[data.at('nodes', what)];
  const pod = (one, what) => one[data.at('pods', what)];
  const pods = [...data.podsOn.get(name) ?? []].map((key) => data.tables.pods.get(key));
  const sum = (what) => pods.reduce((all, one) => all + pod(one, what), 0);
  const waste = data.tables.waste?.get(name);
  return html`<dl class="facts">
      <dt>type</dt><dd>${node('type')} ${node('capacity')}</dd><dt>zone</dt><dd>${node('zone')}</dd>
      <dt>Pool</dt><dd>${node('pool') || 'none'}</dd><dt>state</dt><dd>${node('state')}</dd>
      <dt>price</dt><dd>${format.dollars(node('price'), 4)}/h <span class="dim">(${node('priceSource')})</span></dd>
      <dt>CPU</dt><dd>${format.cpu(sum('cpu'))} of ${format.cpu(node('cpu'))} (${format.percent(sum('cpu'), node('cpu'))})</dd>
      <dt>memory</dt><dd>${format.memory(sum('memory'))} of ${format.memory(node('memory'))} (${format.percent(sum('memory'), node('memory'))})</dd>
      ${waste && html`<dt>stranded</dt><dd>${format.cpu(waste[1])} CPU, ${format.memory(waste[2])}: ${format.dollars(waste[4], 4)}/h, because ${waste[3]} is used up</dd>`}
    </dl>
    <h4>${pods.length} pods</h4>
    <ul class="pods">${pods.sort((one, other) => pod(other, 'cpu') - pod(one, 'cpu')).slice(0, 60).map((one) => html`
      <li><button class="plain link" onClick=${() => choose({pod: `${pod(one, 'namespace')}/${pod(one, 'name')}`})}>${pod(one, 'namespace')}/${pod(one, 'name')}</button>
        <span class="dim"> ${format.cpu(pod(one, 'cpu'))} CPU, ${format.memory(pod(one, 'memory'))}, ${pod(one, 'phase')}</span></li>`)}
      ${pods.length > 60 && html`<li class="dim">${pods.length - 60} more</li>`}</ul>`;
}

function Asked({data, what, of, title, Show}) {
  const [found, set] = useState(null);
  useEffect(() => {
    if (!data.about.live) return undefined;
    let gone = false;
    ask(what, of.kind, of.namespace, of.name).then((told) => !gone && set({told}), (error) => !gone && set({why: error.message}));
    return () => { gone = true; };
  }, []);
  if (!data.about.live) return null;
  return html`<h4>${title}</h4>
    ${!found && html`<p class="note" role="status">The cluster is being asked …</p>`}
    ${found?.why && html`<p class="warning">${found.why}</p>`}
    ${found?.told && html`<${Show} told=${found.told} />`}`;
}

// The text of `bayplan explain`, and its funnel as bars.
function Why({told}) {
  return html`
    ${(told.waiting ?? []).map((one) => html`<${Funnel} of=${one} />`)}
    <ul class="lines">${told.lines.map((one) => html`<li>${one}</li>`)}</ul>`;
}

function Funnel({of}) {
  let left = of.nodesConsidered;
  const steps = of.refusals.map((one) => { left -= one.nodes; return {...one, left}; });
  return html`<p><b>${of.pendingTasks} waiting:</b> ${of.nodesConsidered} nodes were considered.</p>
    <ul class="funnel">${steps.map((one) => html`<li>
      <span style=${{width: `${of.nodesConsidered ? 100 * one.nodes / of.nodesConsidered : 0}%`}}></span>
      <b>${one.nodes}</b> ${one.reason} ${one.detail ?? ''} <i class="dim">${one.left} left</i></li>`)}</ul>
    ${of.nearest && html`<p>Nearest: <button class="plain link" onClick=${() => choose({node: of.nearest.node, pod: '', object: ''})}>${of.nearest.node}</button> lacks ${of.nearest.lacks}.</p>`}
    ${of.wouldFit.length > 0 && html`<p>It would fit</p><ul>${of.wouldFit.map((one) => html`<li>${one}</li>`)}</ul>`}`;
}

// What `explain` does not say; of other kinds the conditions too.
function Stored({told}) {
  return html`
    <p class="dim">Created ${told.created}${told.containers.length + told.events.length ? '' : '; there are no events about it'}.</p>
    ${!COMMANDS[told.kind] && told.conditions.length > 0 && html`<ul>${told.conditions.map((one) => html`<li><b class=${one.status === 'False' && one.type === 'Ready' ? 'bad' : ''}>${one.type}=${one.status}</b> ${one.reason ?? ''} <span class="dim">${one.message ?? ''}</span></li>`)}</ul>`}
    ${told.containers.length > 0 && html`<ul>${told.containers.map((one) => html`<li>container ${one.name}: ${Object.keys(one.state ?? {})[0] ?? 'unknown'}, ${one.restartCount} restarts ${Object.values(one.state ?? {})[0]?.message ?? ''}</li>`)}</ul>`}
    ${told.events.length > 0 && html`<h4>Events</h4><ul>${told.events.map((one) => html`<li class=${one.type === 'Warning' ? 'bad' : ''}><span class="dim">${one.time}</span> ${one.reason}: ${one.note}</li>`)}</ul>`}`;
}
